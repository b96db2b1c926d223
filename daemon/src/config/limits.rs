//! Every bound on what one client, one person and all together can use, by name.

use serde::{Deserialize, Serialize};

/// Makes [`Limits`] of names, types and defaults, so that none can be forgotten where all are looked at.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr,)*) => {
        /// Every bound on what one client, one person and all together can use.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// The limits that are zero, which would lock everybody out.
            pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
                let amounts = [$((concat!("limits.", stringify!($name)), self.$name == 0)),*];
                amounts.into_iter().filter_map(|(name, is_zero)| is_zero.then_some(name))
            }
        }
    };
}

limits! {
    /// The largest WebSocket message, in bytes.
    message_bytes: usize = 1 << 20,
    /// The largest request body, in bytes, after decompression.
    request_bytes: usize = 8 << 20,
    /// The memory that the values of one request may take once they are read, in bytes. Numbers and empty lists take
    /// many times what they do as text.
    parsed_bytes: usize = 64 << 20,
    /// The largest header of a request, its address included, in bytes.
    header_bytes: usize = 32 << 10,
    /// The most changes in one request.
    changes_per_request: usize = 1000,
    /// The most fields of one uploaded row.
    fields_per_row: usize = 1000,
    /// The largest row, in bytes of its JSON.
    row_bytes: usize = 8 << 20,
    /// The most values in one row, those within lists and objects counted.
    row_values: usize = 100_000,
    /// The memory that the rows which one request changes may take together, in bytes. A single row is always taken.
    work_bytes: usize = 64 << 20,
    /// The size of conflicting values, and of their rows, that an answer may hold, in bytes.
    conflict_bytes: usize = 4 << 20,
    /// The most conflicts of one person that wait to be settled.
    open_conflicts: usize = 1000,
    /// The most rows that one of them holds, which were to become parts of a row that was deleted elsewhere.
    open_conflict_parts: usize = 1000,
    /// The size of those conflicts, in bytes.
    open_conflict_bytes: usize = 8 << 20,
    /// The most results of one person that are kept, by which a repeated upload is known.
    receipts_per_user: usize = 10_000_000,
    /// The depth of lists and objects within each other in one value of a row, and in the payload of a broadcast.
    value_depth: usize = 110,
    /// The most devices of one person.
    devices_per_user: usize = 20,
    /// The most tokens of one person that are remembered with the devices that came with them.
    tokens_per_user: usize = 200,
    /// The most revoked devices of one person that are remembered.
    revoked_devices: usize = 200,
    /// The most tables that one socket subscribes to by name, and that one request names.
    subscriptions: usize = 100,
    /// The size of the frames that may wait for one slow device, in bytes.
    outbox_bytes: usize = 256 << 10,
    /// The time that a socket may take to authenticate, in seconds.
    auth_seconds: u64 = 5,
    /// Messages that one socket may send a second, on average.
    messages_per_second: u32 = 100,
    /// Messages that one socket may send at once.
    message_burst: u32 = 400,
    /// Requests of one person a second, on average, over REST and all sockets together. What costs more counts as several.
    requests_per_second: u32 = 100,
    /// Requests of one person at once.
    request_burst: u32 = 2000,
    /// Requests of one person that are under way or wait for those.
    requests_per_user: usize = 100,
    /// Reads of one person that are under way.
    reads_per_user: usize = 2,
    /// Uploads of one person that are under way.
    writes_per_user: usize = 1,
    /// Reads of all people that go through everything somebody has, such as digests and exports, under way at once.
    long_reads: usize = 2,
    /// The time that a request may wait for others of the same person, or for memory, in seconds.
    wait_seconds: u64 = 20,
    /// The memory of all bodies and messages on their way in, and of all work and answers, in bytes.
    bytes_in_flight: usize = 512 << 20,
    /// The memory of one person's bodies and messages on their way in, and of answers that were not read yet, in bytes.
    bytes_per_user: usize = 32 << 20,
    /// The least that a client may send of a body or take of an answer a second, on average, in bytes.
    least_bytes_per_second: u64 = 1 << 10,
    /// Requests without a good token that one address may send a second, on average.
    strangers_per_second: u32 = 50,
    /// Requests without a good token that one address may send at once.
    stranger_burst: u32 = 500,
    /// Throw-away people that the demo page may make in a minute.
    demo_people_per_minute: usize = 10,
    /// Throw-away people whose tokens have not ended yet.
    demo_people: usize = 100,
    /// The longest that a request waits for news, in seconds: `wait` of `GET /changes`.
    poll_seconds: u64 = 25,
    /// Requests of one person that wait for news.
    polls_per_user: usize = 40,
    /// Requests of all people that wait for news.
    polls: usize = 20_000,
    /// Connections that are no device's socket, over all.
    connections: usize = 4096,
    /// Connections that are no device's socket, of one address.
    connections_per_address: usize = 512,
    /// Sockets of devices, over all people.
    sockets: usize = 50_000,
}
