//! Connections that are let in: so many over all, so many of one address, and so many devices' sockets.
//!
//! A connection is a guest until it has become the socket of a device whose token was good. Guests are few, since nobody
//! knows yet whether they are anybody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::origin::is_trusted;
use crate::budget::{Who, network, note};
use crate::config::{Limits, TrustedProxy};
use crate::metrics::Limit;

/// Descriptors that the database, the log and the rest need.
const OTHER_FILES: usize = 128;

/// The connections that are there.
pub struct Guests {
    most: usize,
    most_of_one: usize,
    most_sockets: usize,
    /// Connections of both kinds that there may be descriptors for.
    files: usize,
    trusted: Vec<TrustedProxy>,
    guests: AtomicUsize,
    sockets: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that was let in, until the last clone is dropped.
#[derive(Clone)]
pub struct Guest(#[expect(dead_code, reason = "held until it is dropped")] Arc<GuestSlot>);

struct GuestSlot {
    guests: Arc<Guests>,
    /// None: those of its address are not counted.
    address: Option<IpAddr>,
}

/// The socket of a device, until this is dropped.
pub struct Seat(Arc<Guests>);

impl Guests {
    /// Nobody yet; `files` may be open.
    #[must_use]
    pub fn new(limits: &Limits, trusted: &[TrustedProxy], files: u64) -> Arc<Self> {
        let files = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES).max(OTHER_FILES);
        if files < limits.connections.saturating_add(limits.sockets) {
            tracing::warn!(files, "fewer files may be open than limits.connections and limits.sockets allow together");
        }
        Arc::new(Self {
            most: limits.connections,
            most_of_one: limits.connections_per_address,
            most_sockets: limits.sockets,
            files,
            trusted: trusted.to_vec(),
            guests: AtomicUsize::new(0),
            sockets: AtomicUsize::new(0),
            by_address: Mutex::default(),
        })
    }

    /// Lets a connection in; none when there is no room.
    pub(super) fn let_in(self: &Arc<Self>, peer: IpAddr) -> Option<Guest> {
        let others = self.guests.fetch_add(1, Ordering::Relaxed);
        let mut place = GuestSlot { guests: Arc::clone(self), address: None };
        if others >= self.most || others + self.sockets.load(Ordering::Relaxed) >= self.files {
            note(Limit::Connections, Who::Address(peer));
            return None;
        }
        if !is_trusted(peer, &self.trusted) {
            let address = network(peer);
            let mut by_address = self.by_address();
            let of_one = by_address.entry(address).or_default();
            *of_one += 1;
            place.address = Some(address);
            if *of_one > self.most_of_one {
                drop(by_address);
                note(Limit::ConnectionsPerAddress, Who::Address(peer));
                return None;
            }
        }
        Some(Guest(Arc::new(place)))
    }

    /// A place for a device's socket; none when there is no room.
    pub(super) fn seat(self: &Arc<Self>, who: Who) -> Option<Seat> {
        let others = self.sockets.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(self));
        if others < self.most_sockets {
            return Some(seat);
        }
        note(Limit::Sockets, who);
        None
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GuestSlot {
    fn drop(&mut self) {
        self.guests.guests.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut by_address = self.guests.by_address();
        if let Some(of_one) = by_address.get_mut(&address) {
            *of_one -= 1;
            if *of_one == 0 {
                by_address.remove(&address);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(connections: usize, of_one: usize, sockets: usize, files: u64) -> Arc<Guests> {
        let limits = Limits { connections, connections_per_address: of_one, sockets, ..Limits::default() };
        Guests::new(&limits, &["127.0.0.1".parse().unwrap()], files)
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_address_does_not_take_every_place() {
        let guests = guests(5, 2, 5, 1000);
        let one: Vec<_> = (0..3).map(|_| guests.let_in(address(1))).collect();
        assert_eq!(one.iter().flatten().count(), 2);
        let other = guests.let_in(address(2)).expect("room");
        let clone = other.clone();
        drop(other);
        assert_eq!(guests.by_address().get(&address(2)), Some(&1), "a clone is the same guest");
        drop((one, clone));
        assert!(guests.by_address().is_empty());
        assert!(guests.let_in(address(1)).is_some());
    }

    #[test]
    fn a_trusted_proxys_connections_are_only_counted_over_all() {
        let guests = guests(5, 2, 5, 1000);
        let all: Vec<_> = (0..7).map(|_| guests.let_in([127, 0, 0, 1].into())).collect();
        assert_eq!(all.iter().flatten().count(), 5);
        drop(all);
        assert_eq!(guests.guests.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_more_are_let_in_than_files_may_be_open() {
        let guests = guests(1000, 1000, 100, 2 * OTHER_FILES as u64);
        let seats: Vec<_> = (0..100).filter_map(|_| guests.seat(Who::Nobody)).collect();
        assert!(guests.seat(Who::Nobody).is_none());
        let all: Vec<_> = (0..1000).map(|_| guests.let_in(address(1))).collect();
        assert_eq!(all.iter().flatten().count() + seats.len(), OTHER_FILES);
    }
}
