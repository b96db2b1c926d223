//! The authentication of a new socket: the token, the device, the query, and then the connection itself.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::timeout;
use warp::http::HeaderMap;
use yawc::frame::OpCode;

use super::log::SocketLog;
use super::stream::Ended;
use super::{Shell, Socket, handshake};
use crate::actors::{CloseReason, Connection, Hello, token_of, unread_of_auth};
use crate::auth::Caller;
use crate::budget::Who;
use crate::http::headers::{bearer, date};
use crate::http::origin::Origin;
use crate::http::query::Query;
use crate::http::{Guest, Seat};
use crate::sync::strangers::Strangers;
use crate::sync::{Cursor, DeviceId};

/// Frames among which the first message must be. Pings may come before it, but each wants an answer.
const FIRST_FRAMES: usize = 10;

/// The parameters of the address that are read.
const PARAMETERS: [&str; 5] = ["token", "cursor", "tables", "device_type", "app_version"];

/// The relevant parts of the opening request.
pub(super) struct Arrival {
    device: String,
    token: Option<String>,
    cursor: Option<String>,
    tables: Vec<String>,
    device_type: Option<String>,
    app_version: Option<String>,
    ignored: Strangers,
    /// What time it was for the client, if it said so.
    date: Option<DateTime<Utc>>,
    from: Whence,
}

/// The origin of a socket.
pub(super) struct Whence {
    /// The address, as far as it is limited.
    pub origin: Option<Origin>,
    /// Until it is known whose device it is.
    pub guest: Option<Guest>,
    /// False if it comes from a web page that may not connect.
    pub is_at_home: bool,
}

impl Arrival {
    /// The token may come in a header, in the query or as a subprotocol; else it is the first message.
    pub(super) fn of(device: String, headers: &HeaderMap, query: &Query, from: Whence) -> Self {
        let token = bearer(headers).or_else(|| query.text("token")).or_else(|| handshake::bearer(headers));
        let text = |name| query.text(name).map(str::to_owned);
        let mut ignored = Strangers::default();
        query.names().filter(|name| !PARAMETERS.contains(name)).for_each(|name| ignored.add(name));
        Self {
            device,
            token: token.map(str::to_owned),
            cursor: text("cursor"),
            tables: query.first_list("tables"),
            device_type: text("device_type"),
            app_version: text("app_version"),
            ignored,
            date: date(headers),
            from,
        }
    }

    /// The path segment of the device's id.
    pub(super) fn device(&self) -> &str {
        &self.device
    }
}

/// Connects who has come, or says why not.
pub(super) async fn welcome(
    shell: &Shell,
    socket: &mut Socket,
    mut arrival: Arrival,
    log: &mut SocketLog,
) -> Result<(Connection, Seat), Ended> {
    if !arrival.from.is_at_home {
        return Err(refused("origin", &"pages from there may not connect (server.allowed_origins)"));
    }
    let origin = arrival.from.origin.clone();
    let identified = identify(shell, socket, &mut arrival).await.inspect_err(|ended| {
        // Nobody is a stranger whose token can't be checked right now.
        if *ended != Ended::Closed(CloseReason::TryLater) {
            origin.iter().for_each(Origin::was_stranger);
        }
    });
    let (device, caller) = identified?;
    log.is_of(caller.user);
    if let Some(date) = arrival.date {
        shell.live.hear_clock(caller.user, date);
    }
    let seat = shell.guests.seat(Who::User(caller.user)).ok_or(Ended::Closed(CloseReason::TryLater))?;
    drop(arrival.from.guest);
    let cursor = match arrival.cursor {
        Some(text) => Some(text.parse::<Cursor>().map_err(|error| refused("cursor", &error))?),
        None => None,
    };
    let Arrival { tables, device_type, app_version, ignored, .. } = arrival;
    let hello = Hello { caller, device, device_type, app_version, cursor, tables, ignored };
    let connection = shell.live.connect(hello, Arc::clone(&shell.verify)).await.map_err(Ended::Closed)?;
    Ok((connection, seat))
}

/// The device that has come, and whose it is.
async fn identify(shell: &Shell, socket: &mut Socket, arrival: &mut Arrival) -> Result<(DeviceId, Caller), Ended> {
    let device: DeviceId = arrival.device.parse().map_err(|error| refused("device_id", &error))?;
    let verified = match &arrival.token {
        Some(token) => shell.verify.verify(token).await,
        None => {
            let (token, ignored) = first_message(shell, socket).await?;
            ignored.names().iter().for_each(|name| arrival.ignored.add(name));
            shell.verify.verify(&token).await
        }
    };
    Ok((device, verified.map_err(|error| Ended::Closed(CloseReason::denied(error)))?))
}

/// Waits for `{"type":"auth","token":…}`.
async fn first_message(shell: &Shell, socket: &mut Socket) -> Result<(String, Strangers), Ended> {
    let denied = |why: &'static str| Ended::Closed(CloseReason::Token(why.into()));
    let mut draining = shell.live.draining();
    let message = async {
        for _ in 0..FIRST_FRAMES {
            let frame = socket.next_frame().await.map_err(|error| Ended::of(&error))?;
            match frame.opcode() {
                OpCode::Text => {
                    return token_of(frame.payload(), shell.live.limits())
                        .map(|token| (token, unread_of_auth(frame.payload())))
                        .ok_or_else(|| denied("the first message must be auth, with a token"));
                }
                OpCode::Close => return Err(Ended::ByPeer),
                OpCode::Binary => return Err(denied("the first message must be auth, as text")),
                _ => {}
            }
        }
        Err(denied("the first message must be auth, and soon"))
    };
    tokio::select! {
        message = timeout(shell.auth_within, message) => {
            message.unwrap_or_else(|_| Err(denied("no token came in time (limits.auth_seconds)")))
        }
        _ = draining.wait_for(|draining| *draining) => Err(Ended::Closed(CloseReason::restarting())),
    }
}

fn refused(field: &str, error: &dyn std::fmt::Display) -> Ended {
    Ended::Closed(CloseReason::Protocol(format!("{field}: {error}").into()))
}
