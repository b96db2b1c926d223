use proptest::prelude::*;

use super::*;
use crate::sync::Scope;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const C: Uuid = Uuid::from_u128(3);
/// The time at which the tests begin, by the database's clock.
const EPOCH: i64 = 1_700_000_000_000_000;

/// An instance that knows the time.
fn instance(me: Uuid, others: &[Uuid]) -> Trust {
    let trust = Trust::new(me, b"the database's key", "life");
    tell_time(&trust, EPOCH);
    assert!(trust.living(Instant::now(), others.iter().copied(), false).is_empty());
    trust
}

fn tell_time(trust: &Trust, micros: i64) {
    trust.tick(Instant::now(), Instant::now(), micros);
}

/// The event for a message, in a word.
fn heard(trust: &Trust, way: Way, channel: &str, message: &[u8]) -> Option<String> {
    trust.hear(way, channel, message).map(|heard| match heard {
        CarrierEvent::Letter(letter) => String::from_utf8(letter.text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    })
}

fn says(trust: &Trust, text: &str) -> Bytes {
    trust.seal("c", text.as_bytes()).unwrap()
}

fn is(word: &str) -> Option<String> {
    Some(word.to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_a_living_instance_says_is_heard_once_by_each_way_and_not_by_itself() {
    let (a, b) = (instance(A, &[B]), instance(B, &[A]));
    let message = says(&a, "hello");
    assert_eq!(heard(&b, Way::Redis, "d", &message), None, "it was for another channel");
    assert_eq!(heard(&b, Way::Redis, "c", &message), is("hello"));
    assert_eq!(heard(&b, Way::Redis, "c", &message), None, "it was said again");
    assert_eq!(heard(&a, Way::Redis, "c", &message), None, "it is one's own");
    let later = says(&a, "later");
    assert_eq!(heard(&b, Way::Redis, "c", &says(&a, "much later")), is("much later"));
    assert_eq!(heard(&b, Way::Redis, "c", &later), is("later"), "what overtakes another does not silence it");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sealed_or_believed_before_the_time_is_known() {
    let (a, b) = (instance(A, &[B]), Trust::new(B, b"the database's key", "life"));
    assert!(!b.is_ready() && b.seal("c", b"x").is_none());
    let _ = b.living(Instant::now(), [A], false);
    assert_eq!(heard(&b, Way::Redis, "c", &says(&a, "early")), None);
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_is_worth_a_look_once() {
    let (a, b) = (instance(A, &[B]), instance(B, &[A]));
    let message = says(&a, "late");
    tokio::time::advance(FRESH + Duration::from_secs(1)).await;
    assert_eq!(heard(&b, Way::Redis, "c", &message), is("Late"));
    assert_eq!(heard(&b, Way::Redis, "c", &message), None);
    // One whose clock is ahead by far is late as well: by how much nobody knows.
    tell_time(&a, EPOCH + 60_000_000);
    assert_eq!(heard(&b, Way::Redis, "c", &says(&a, "from the future")), is("Late"));
    tell_time(&b, EPOCH + 60_000_000);
    assert_eq!(heard(&b, Way::Redis, "c", &says(&a, "in step")), is("in step"));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_is_kept_waiting_until_it_is_known_to_live() {
    let (a, b, c) = (instance(A, &[]), instance(B, &[]), instance(C, &[]));
    let (first, second) = (says(&a, "first"), says(&a, "second"));
    assert_eq!(heard(&b, Way::Redis, "c", &first), is("Stranger"));
    assert_eq!(heard(&b, Way::Redis, "c", &first), None, "it waits already");
    assert_eq!(heard(&b, Way::Notices, "c", &second), is("Stranger"));
    assert_eq!(heard(&b, Way::Redis, "c", &says(&c, "nobody")), is("Stranger"));
    let texts: Vec<Bytes> = b.living(Instant::now(), [A], false).into_iter().map(|letter| letter.text).collect();
    assert_eq!(texts, ["first", "second"]);
    for (way, message) in [(Way::Redis, &first), (Way::Notices, &second)] {
        assert_eq!(heard(&b, way, "c", message), None, "it was heard when it had waited");
    }
    // Whom the database had not seen when it was asked may be there by now.
    let before = Instant::now();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(heard(&b, Way::Redis, "c", &says(&c, "just come")), is("Stranger"));
    assert!(b.living(before, [A], false).is_empty());
    assert_eq!(b.living(Instant::now(), [A, C], false).len(), 1);
    assert!(b.living(Instant::now(), [A], false).is_empty());
    tokio::time::advance(FRESH * 3).await;
    assert!(b.living(Instant::now(), [A], false).is_empty());
    let stale = says(&c, "long ago");
    tokio::time::advance(FRESH * 2).await;
    assert_eq!(heard(&b, Way::Redis, "c", &stale), None, "of nobody, and late");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_not_believed_and_what_it_said_is_remembered_while_it_counts() {
    let (a, b) = (instance(A, &[B]), instance(B, &[A]));
    let (before, meanwhile) = (says(&a, "before"), says(&a, "meanwhile"));
    assert_eq!(heard(&b, Way::Redis, "c", &before), is("before"));
    assert!(b.living(Instant::now(), [], false).is_empty());
    assert_eq!(heard(&b, Way::Redis, "c", &before), None);
    assert_eq!(heard(&b, Way::Redis, "c", &meanwhile), is("Stranger"));
    assert_eq!(b.living(Instant::now(), [A], false).len(), 1, "it was only slow");
    assert_eq!(heard(&b, Way::Redis, "c", &before), None);
    let _ = b.living(Instant::now(), [], false);
    tokio::time::advance(FRESH * 3).await;
    let _ = b.living(Instant::now(), [], false);
    assert!(b.known().senders.is_empty());
}

#[tokio::test(start_paused = true)]
async fn strangers_fill_no_memory() {
    let (a, b) = (instance(A, &[]), instance(B, &[]));
    let long = "x".repeat(ROOM_BYTES / 100);
    for _ in 0..2 * ROOM {
        let _ = heard(&b, Way::Redis, "c", &says(&a, &long));
    }
    assert_eq!(b.known().room.len(), 100);
    let _ = b.living(Instant::now(), [], false);
    for _ in 0..2 * ROOM {
        let _ = heard(&b, Way::Redis, "c", &says(&a, "short"));
    }
    assert_eq!(b.known().room.len(), ROOM);
    let too_long = "x".repeat(LARGEST_MESSAGE + 1);
    let _ = b.living(Instant::now(), [A], false);
    assert_eq!(heard(&b, Way::Redis, "c", &says(&a, &too_long)), None);
}

#[test]
fn what_nobody_has_sealed_is_worth_a_look_while_an_older_release_lives() {
    let b = Trust::new(B, b"key", "life");
    assert!(b.hear_plain("c").is_none());
    let _ = b.living(Instant::now(), [], true);
    assert!(matches!(b.hear_plain("c"), Some(CarrierEvent::Late)));
}

#[test]
fn topics_have_names_of_their_own() {
    let (a, b) = (Trust::new(A, b"key", "life"), Trust::new(B, b"key", "life"));
    let user = Topic::Scope(Scope::User(crate::sync::UserId(A)));
    let topics = [Topic::Scope(Scope::Global), user, Topic::Instance(A)];
    let names = topics.map(|topic| a.name(topic));
    assert_eq!(topics.map(|topic| b.name(topic)), names, "all instances use the same");
    assert!(names[0] != names[1] && names[1] != names[2]);
    assert!(names.iter().all(|name| !name.contains(&A.to_string())));
}

#[test]
fn the_log_hears_of_many_once_a_minute() {
    let (mut complaints, start) = (Complaints::default(), Instant::now());
    assert_eq!(complaints.one_more(start), Some(0));
    for n in 0..1000 {
        assert_eq!(complaints.one_more(start + QUIET / 2000 * n), None);
    }
    assert_eq!(complaints.one_more(start + QUIET), Some(1000));
}

proptest! {
    /// Whatever is said, in whatever order, again and again: each message is heard at most once, and nothing that nobody said.
    #[test]
    fn nothing_is_heard_twice(said in prop::collection::vec((0..30usize, any::<bool>(), 0..3u8), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let (a, b) = (instance(A, &[B]), instance(B, &[A]));
        let messages: Vec<Bytes> = (0..30).map(|n| a.seal(["c", "d"][n % 2], n.to_string().as_bytes()).unwrap()).collect();
        let mut got = Vec::new();
        for (n, other_channel, harm) in said {
            let channel = ["c", "d"][(n + usize::from(other_channel)) % 2];
            let mut message = messages[n].to_vec();
            match harm {
                0 => {}
                1 => message[n] ^= 1,
                _ => message.truncate(n),
            }
            if let Some(text) = heard(&b, Way::Redis, channel, &message) {
                prop_assert!(!other_channel && harm == 0);
                got.push(text);
            }
        }
        let mut once = got.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), got.len());
    }
}
