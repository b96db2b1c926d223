//! Cursors of every form, see `crate::fuzz`.

use super::cursor::Cursor;
use super::raw::weigh;
use super::wire::SyncRequest;

#[test]
fn fuzz_cursor() {
    crate::fuzz::run("cursor", |input| {
        if let Some(cursor) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Cursor>().ok()) {
            assert_comes_back(&cursor);
        }
        if let Some(cursor) = serde_json::from_slice::<Cursor>(input).ok().and_then(Cursor::checked) {
            assert_comes_back(&cursor);
        }
    });
}

/// A cursor that was taken is the same when it is given out and comes again, in both its forms.
fn assert_comes_back(cursor: &Cursor) {
    assert_eq!(cursor.to_string().parse::<Cursor>().as_ref(), Ok(cursor));
    let json = serde_json::to_string(cursor).unwrap();
    assert_eq!(&serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
}

#[test]
fn fuzz_request() {
    crate::fuzz::run("change", |input| {
        let is_read = serde_json::from_slice::<SyncRequest>(input).is_ok();
        let is_weighed = weigh(input, usize::MAX).is_ok() || weigh(input, 1 << 10).is_err();
        assert!(is_weighed, "what is too heavy for any memory fits into little ({is_read})");
    });
}
