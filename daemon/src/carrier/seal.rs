//! The seal of a message: only holders of the database's key read or make one. Pure: no clock, no
//! state.
//!
//! A sealed message is a header in clear and what is sealed with it: the header, and the channel on which the message goes,
//! are part of what is authenticated. Each sender has a key of its own, made of the database's, so that its count of messages
//! serves as the nonce.

use bytes::Bytes;
use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use uuid::Uuid;

/// The first byte of a sealed message; no other message begins with it.
const FORM: u8 = 2;
/// The bytes of a header.
pub(super) const HEADER: usize = 1 + 16 + 8 + 8;
/// The bytes that sealing adds to a message.
pub(super) const ADDED: usize = HEADER + 16;
/// The bytes of what a name is made of.
const NAME: usize = 16;

/// The clear part of a message: its sender, its number, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The instance.
    pub from: Uuid,
    /// Its messages are counted from 1.
    pub number: u64,
    /// The database's time, in microseconds since 1970.
    pub at: i64,
}

impl Header {
    /// The header of a message; none when it has another form.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        let (form, rest) = message.split_first()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (at, _) = rest.split_first_chunk()?;
        let header =
            Self { from: Uuid::from_bytes(*from), number: u64::from_be_bytes(*number), at: i64::from_be_bytes(*at) };
        (*form == FORM).then_some(header)
    }

    fn written(&self) -> Vec<u8> {
        [&[FORM][..], self.from.as_bytes(), &self.number.to_be_bytes(), &self.at.to_be_bytes()].concat()
    }

    /// Never the same twice under one sender's key.
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[aead::NONCE_LEN - size_of::<u64>()..].copy_from_slice(&self.number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The keys derived from the database's key in one epoch.
pub(super) struct Keys {
    root: hkdf::Prk,
    names: hmac::Key,
}

impl Keys {
    /// Another epoch of the database has other keys.
    pub(super) fn new(secret: &[u8], epoch: &str) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, epoch.as_bytes()).extract(secret);
        let names = hmac::Key::from(drawn(&root, &[b"name"], hmac::HMAC_SHA256));
        Self { root, names }
    }

    /// The key of one sender.
    pub(super) fn of(&self, sender: Uuid) -> SenderKey {
        let key = UnboundKey::from(drawn(&self.root, &[b"seal", sender.as_bytes()], &CHACHA20_POLY1305));
        SenderKey(LessSafeKey::new(key))
    }

    /// A name that tells those who have no key nothing but that it is the same one.
    pub(super) fn name(&self, of: &str) -> String {
        let tag = hmac::sign(&self.names, of.as_bytes());
        tag.as_ref()[..NAME].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn drawn<'k, L: hkdf::KeyType>(root: &'k hkdf::Prk, purpose: &'k [&'k [u8]], kind: L) -> hkdf::Okm<'k, L> {
    root.expand(purpose, kind).expect("one key is less than can be drawn")
}

/// Seals and opens the messages of one sender.
pub(super) struct SenderKey(LessSafeKey);

impl SenderKey {
    /// The sealed message.
    pub(super) fn seal(&self, header: &Header, channel: &str, plain: &[u8]) -> Bytes {
        let mut message = header.written();
        message.extend_from_slice(plain);
        let sealed =
            self.0.seal_in_place_separate_tag(header.nonce(), context(header, channel), &mut message[HEADER..]);
        message.extend_from_slice(sealed.expect("a message is shorter than can be sealed").as_ref());
        message.into()
    }

    /// Opens a message, if its sender has sealed it for this channel.
    pub(super) fn open(&self, header: &Header, channel: &str, message: &[u8]) -> Option<Bytes> {
        let mut sealed = message.get(HEADER..)?.to_vec();
        let length = self.0.open_in_place(header.nonce(), context(header, channel), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed.into())
    }
}

fn context(header: &Header, channel: &str) -> Aad<Vec<u8>> {
    let mut context = header.written();
    context.extend_from_slice(channel.as_bytes());
    Aad::from(context)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn keys(epoch: &str) -> Keys {
        Keys::new(b"secret", epoch)
    }

    fn opened(keys: &Keys, channel: &str, message: &[u8]) -> Option<Bytes> {
        let header = Header::of(message)?;
        keys.of(header.from).open(&header, channel, message)
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_where_it_was_sealed_for_and_nowhere_else(
            plain in prop::collection::vec(any::<u8>(), 0..300), number: u64, at: i64,
            channel in "[a-z]{0,8}", other in "[a-z]{0,8}", place: prop::sample::Index, flip in 1u8..,
        ) {
            let header = Header { from: A, number, at };
            let message = keys("e1").of(A).seal(&header, &channel, &plain);
            prop_assert_eq!(message.len(), plain.len() + ADDED);
            prop_assert_eq!(Header::of(&message), Some(header));
            prop_assert_eq!(opened(&keys("e1"), &channel, &message), Some(Bytes::from(plain)));
            // Another channel, life, database, sender.
            prop_assert!(other == channel || opened(&keys("e1"), &other, &message).is_none());
            prop_assert_eq!(opened(&keys("e2"), &channel, &message), None);
            prop_assert_eq!(opened(&Keys::new(b"other", "e1"), &channel, &message), None);
            prop_assert_eq!(keys("e1").of(B).open(&header, &channel, &message), None);
            // One byte that is another, missing or too many.
            let mut changed = message.to_vec();
            changed[place.index(message.len())] ^= flip;
            prop_assert_eq!(opened(&keys("e1"), &channel, &changed), None);
            prop_assert_eq!(opened(&keys("e1"), &channel, &message[..place.index(message.len())]), None);
            changed = [&message[..], &[flip]].concat();
            prop_assert_eq!(opened(&keys("e1"), &channel, &changed), None);
        }

        #[test]
        fn anything_can_come(message in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(opened(&keys("e1"), "c", &[&[FORM][..], &message].concat()), None);
            prop_assert_eq!(opened(&keys("e1"), "c", &message), None);
        }
    }

    #[test]
    fn the_same_twice_looks_like_two_things() {
        let key = keys("e1").of(A);
        let sealed = |number| key.seal(&Header { from: A, number, at: 0 }, "c", b"the same")[HEADER..].to_vec();
        assert_ne!(sealed(1), sealed(2));
    }

    #[test]
    fn names_are_one_databases_own() {
        let name = keys("e1").name("global");
        assert_eq!((name.len(), &name), (2 * NAME, &keys("e1").name("global")));
        assert!(
            ![keys("e2").name("global"), keys("e1").name("user"), Keys::new(b"o", "e1").name("global")].contains(&name)
        );
    }
}
