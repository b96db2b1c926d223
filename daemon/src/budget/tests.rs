//! Tests of the budget: shares that are given out come back, and nobody waits for ever.

use std::time::Duration;

use uuid::Uuid;

use super::*;

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn budget(limits: Limits) -> Arc<Budget> {
    Budget::new(Arc::new(Limits { wait_seconds: 5, ..limits }))
}

/// Few of everything.
fn scarce() -> Arc<Budget> {
    budget(Limits {
        requests_per_user: 3,
        bytes_per_user: 10 << 10,
        request_bytes: 1 << 10,
        parsed_bytes: 1 << 10,
        bytes_in_flight: 40 << 10,
        ..Limits::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_persons_work_waits_for_its_own_and_for_nobody_elses() {
    let budget = scarce();
    let write = budget.turn(user(1), Kind::Write).await.expect("a turn");
    let _read = budget.turn(user(1), Kind::Read).await.expect("a turn");
    let _other = budget.turn(user(2), Kind::Write).await.expect("another person's turn");
    let refused = budget.turn(user(1), Kind::Write).await.map(drop).expect_err("a second write");
    assert_eq!((refused.limit, refused.is_the_callers()), (Limit::WritesPerUser, true));
    let waits = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move { budget.turn(user(1), Kind::Write).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let read = write.turn_to(Kind::Read).await;
    assert_eq!(waits.await.expect("no panic"), Ok(()));
    assert!(budget.turn(user(1), Kind::Read).await.is_err(), "two read already");
    drop(read);
    assert!(budget.turn(user(1), Kind::Read).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_reads_everything_leaves_room_for_who_reads_little() {
    let budget = scarce();
    let long = [
        budget.turn(user(1), Kind::LongRead).await.expect("a turn"),
        budget.turn(user(2), Kind::LongRead).await.expect("a turn"),
    ];
    let own = budget.turn(user(1), Kind::LongRead).await.map(drop).expect_err("their second");
    assert_eq!(own.limit, Limit::ReadsPerUser);
    let others = budget.turn(user(3), Kind::LongRead).await.map(drop).expect_err("a third person's");
    assert_eq!((others.limit, others.is_the_callers()), (Limit::LongReads, false));
    for reader in [1, 2, 3] {
        assert!(budget.turn(user(reader), Kind::Read).await.is_ok());
    }
    drop(long);
    assert!(budget.turn(user(3), Kind::LongRead).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_of_one_person_are_let_in() {
    let budget = scarce();
    let mut visits: Vec<Visit> = (0..3).map(|_| budget.enter(user(1), 1).expect("a visit")).collect();
    assert_eq!(budget.enter(user(1), 1).map(drop).expect_err("a fourth").limit, Limit::RequestsPerUser);
    assert!(budget.enter(user(2), 1).is_ok());
    visits.pop();
    assert!(budget.enter(user(1), 1).is_ok());
    drop(visits);
    assert_eq!(budget.people.count(), 0, "nobody is remembered who has nothing here");
}

#[tokio::test(start_paused = true)]
async fn memory_is_given_back_with_the_last_byte() {
    let budget = scarce();
    let held = budget.answer(user(1), 8 << 10).await.expect("memory");
    let text = held.keep(vec![b'x'; 6 << 10]);
    let part = text.slice(10..20);
    drop(text);
    let refused = budget.answer(user(1), 5 << 10).await.map(drop).expect_err("more than a share");
    assert_eq!((refused.limit, refused.is_the_callers()), (Limit::BytesPerUser, true));
    assert!(budget.answer(user(2), 5 << 10).await.is_ok());
    drop(part);
    assert!(budget.answer(user(1), 10 << 10).await.is_ok());
    assert_eq!(budget.working.available_permits(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_a_share_takes_all_of_it() {
    let budget = scarce();
    let large = budget.answer(user(1), 1 << 30).await.expect("nobody is locked out");
    assert!(budget.answer(user(1), 1).await.is_err());
    drop(large);
    assert!(budget.answer(user(1), 1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_coming_takes_from_all_only_what_is_here() {
    let budget = scarce();
    let mut coming = budget.arriving(user(1), 10 << 10).await.expect("room");
    assert_eq!(budget.arriving.available_permits(), 20, "nothing has come");
    let refused = budget.arriving(user(1), 1 << 10).await.map(drop).expect_err("the share is promised");
    assert_eq!(refused.limit, Limit::BytesPerUser);
    coming.came(3 << 10).await.expect("memory");
    coming.is_all(3 << 10);
    assert_eq!(budget.arriving.available_permits(), 17);
    assert!(budget.arriving(user(1), 7 << 10).await.is_ok());
    drop(coming);
    assert_eq!(budget.arriving.available_permits(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_memory_is_told_that_it_is_not_their_doing() {
    let budget = scarce();
    let mut others = Vec::new();
    for other in 1..=2 {
        let mut coming = budget.arriving(user(other), 10 << 10).await.expect("room");
        coming.came(10 << 10).await.expect("memory");
        others.push(coming);
    }
    let mut coming = budget.arriving(user(3), 1 << 10).await.expect("room");
    let refused = coming.came(1).await.expect_err("there is none left");
    assert_eq!((refused.limit, refused.is_the_callers()), (Limit::BytesInFlight, false));
    drop(others);
    assert_eq!(coming.came(1).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_is_patient_waits_for_what_is_charged() {
    let budget = budget(Limits { requests_per_second: 10, request_burst: 2, ..Limits::default() });
    assert_eq!(budget.charge(user(1), 2), Ok(()));
    assert_eq!(budget.charge(user(1), 1).expect_err("spent").limit, Limit::RequestsPerSecond);
    let begun = tokio::time::Instant::now();
    assert_eq!(budget.charge_in_time(user(1), 2).await, Ok(()));
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
    assert_eq!(budget.charge(user(2), 2), Ok(()));
}

#[test]
fn strangers_are_told_apart_by_their_network() {
    let budget = budget(Limits { strangers_per_second: 1, stranger_burst: 2, ..Limits::default() });
    let [one, same, other, old]: [IpAddr; 4] =
        ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1"].map(|address| address.parse().unwrap());
    for _ in 0..2 {
        assert_eq!(budget.may_try(one), Ok(()));
        budget.was_stranger(one);
    }
    assert_eq!(budget.may_try(same).expect_err("too many").limit, Limit::StrangersPerSecond);
    assert_eq!((budget.may_try(other), budget.may_try(old)), (Ok(()), Ok(())));
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    (0..3).for_each(|_| budget.was_stranger(mapped));
    assert!(budget.may_try(old).is_err());
}

#[test]
fn what_is_larger_costs_more() {
    assert_eq!((cost_of(0, 0), cost_of(300 << 10, 1000), cost_of(8 << 20, 1)), (0, 14, 128));
}
