//! Tests of the outbox: what it holds, drops and reports.

use super::*;
use crate::sync::UserId;

const USER: Scope = Scope::User(UserId(uuid::Uuid::nil()));

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn frame(scope: Scope, version: Version, source: Option<&str>) -> ChangeFrame {
    ChangeFrame {
        bytes: Bytes::from(version.to_string()),
        mark: Mark { scope, version },
        table: "foods",
        is_hidden: false,
        source: source.map(device),
    }
}

fn live(limit: usize) -> Outbox {
    let mut outbox = Outbox::new(limit, None);
    outbox.joined(USER, 0);
    outbox.joined(Scope::Global, 0);
    outbox.start(Cursor::zero("e"));
    outbox.release();
    outbox
}

fn taken(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| outbox.take())
        .map(|out| match out {
            Outgoing::Message(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Outgoing::SyncRequired { reason, cursor } => format!("{reason}@{cursor}"),
        })
        .collect()
}

#[test]
fn duplicates_own_changes_and_other_tables_are_passed_over() {
    let mut outbox = live(10_000);
    let me = device("me");
    for version in [1, 2, 2, 1, 4] {
        outbox.change(&me, &frame(USER, version, Some("other")));
    }
    outbox.change(&me, &frame(USER, 5, Some("me")));
    assert_eq!(taken(&mut outbox), ["1", "2", "4"]);
    outbox.unsubscribe(&["foods"], ["foods", "recipes"].into_iter());
    outbox.change(&me, &frame(USER, 6, None));
    assert_eq!(taken(&mut outbox), Vec::<String>::new());
    assert!(outbox.subscribe(&["foods"], 2));
    outbox.change(&me, &frame(USER, 7, None));
    assert_eq!(taken(&mut outbox), ["7"]);
    assert_eq!(outbox.stands.user, 7);
}

#[test]
fn a_namesake_in_the_catalogue_is_somebody_else() {
    let mut outbox = live(10_000);
    outbox.change(&device("me"), &frame(Scope::Global, 1, Some("me")));
    outbox.set_uploading(true);
    outbox.change(&device("me"), &frame(Scope::Global, 2, Some("me")));
    assert_eq!(taken(&mut outbox), ["1"]);
}

#[test]
fn what_comes_while_held_is_sent_once_and_after_the_replay() {
    let mut outbox = Outbox::new(10_000, None);
    let me = device("me");
    outbox.change(&me, &frame(USER, 3, None));
    outbox.joined(USER, 3);
    outbox.start(Cursor::zero("e"));
    for version in 4..=6 {
        outbox.change(&me, &frame(USER, version, None));
    }
    assert!(!outbox.is_ready());
    outbox.reached(Mark { scope: USER, version: 5 });
    outbox.release();
    assert_eq!(taken(&mut outbox), ["6"]);
}

#[test]
fn what_overflows_while_held_is_told_and_nothing_of_the_replay_comes_again() {
    let mut outbox = Outbox::new(3 * (OVERHEAD + 1), None);
    let me = device("me");
    outbox.joined(USER, 3);
    outbox.start(Cursor::zero("e"));
    for version in 4..=8 {
        outbox.change(&me, &frame(USER, version, None));
    }
    outbox.reached(Mark { scope: USER, version: 8 });
    outbox.change(&me, &frame(USER, 9, None));
    outbox.release();
    assert_eq!(taken(&mut outbox), ["too_slow@e,user:8,global:0", "9"]);
    assert_eq!(outbox.stands.user, 8, "9 may have come after what was lost");
}

#[test]
fn an_overflow_is_told_once_with_what_was_written() {
    let mut outbox = live(3 * (OVERHEAD + 1));
    let me = device("me");
    for version in 1..=3 {
        outbox.change(&me, &frame(USER, version, None));
    }
    assert!(matches!(outbox.take(), Some(Outgoing::Message(_))));
    for version in 4..=12 {
        outbox.change(&me, &frame(USER, version, None));
    }
    let sent = taken(&mut outbox);
    assert_eq!(sent[0], "too_slow@e,user:1,global:0");
    assert!(!sent[1..].iter().any(|text| text.starts_with("too_slow")));
    assert_eq!(outbox.stands.user, 1, "stands where the hole is");
    outbox.pulled(&Cursor { user: 3, ..Cursor::zero("e") });
    assert_eq!(outbox.stands.user, 1, "the pull did not cover the hole");
    outbox.pulled(&Cursor { user: 12, ..Cursor::zero("e") });
    assert_eq!(outbox.stands.user, 12);
}

#[test]
fn the_bound_holds_and_one_large_message_passes() {
    let mut outbox = live(1000);
    outbox.message(Bytes::from(vec![b'x'; 5000]));
    assert_eq!(taken(&mut outbox).len(), 1);
    for _ in 0..100 {
        outbox.message(Bytes::from(vec![b'x'; 100]));
        assert!(outbox.bytes <= 1000);
    }
}

#[test]
fn the_first_subscription_narrows_and_there_is_a_limit() {
    let mut outbox = live(1000);
    assert!(outbox.subscribe(&["foods"], 2));
    assert!(outbox.wants("foods") && !outbox.wants("recipes"));
    assert!(!outbox.subscribe(&["recipes", "users"], 2));
    assert!(!outbox.wants("recipes"));
    assert!(outbox.subscribe(&[], 2));
    assert!(outbox.wants("recipes"), "none named means all");
}
