//! Uploads of several people that share their statements come to what they come to alone, whatever becomes of the others.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use futures_util::future::join_all;
use proptest::prelude::*;
use ryzed::auth::{Caller, Role};
use ryzed::clock::SystemClock;
use ryzed::config::Limits;
use ryzed::metrics::metrics;
use ryzed::service::{Committed, DeviceSeen, Hints, Pushed, Service};
use ryzed::store::Stay;
use ryzed::store::sqlite::{SqliteSettings, SqliteStore};
use ryzed::sync::{ChangeRecord, DeviceId, UserId};
use ryzed_adapters::Registry;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// People who upload at the same time.
const PEOPLE: usize = 6;
/// Rows that each of them has ids for.
const ROWS: usize = 3;

/// Devices that each of them may have.
const DEVICES: usize = 2;

/// Rules of an operator: one refuses a row, one takes back the whole transaction.
const RULES: &str = "CREATE TRIGGER refuse BEFORE INSERT ON foods WHEN NEW.name_en = 'Refused' BEGIN SELECT RAISE(ABORT, 'no'); END; \
                     CREATE TRIGGER take_back BEFORE INSERT ON foods WHEN NEW.name_en = 'Taken back' BEGIN SELECT RAISE(ROLLBACK, 'no'); END; \
                     CREATE TRIGGER pass_over BEFORE INSERT ON foods WHEN NEW.name_en = 'Passed over' BEGIN SELECT RAISE(IGNORE); END";

/// Keeps what other devices are told.
#[derive(Default)]
struct Heard(Mutex<Vec<Value>>);

impl Hints for Heard {
    fn committed(&self, commit: Committed) {
        let record = |record: &ChangeRecord| {
            let row: Option<Value> = record.row.as_ref().and_then(|row| serde_json::from_str(row.get()).ok());
            let name = row.map(|row| json!([row["name_en"], row["quantity"], row["_version"]]));
            json!([record.version, record.id, record.operation, record.source_device, name])
        };
        let records: Vec<Value> = commit.records.iter().map(record).collect();
        self.0.lock().expect("a lock").push(json!([commit.scope, commit.version, records]));
    }

    fn others_may_have_moved(&self) {}
}

struct World {
    heard: Arc<Heard>,
    service: Service,
    people: Vec<Caller>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(people: &[UserId]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ryzed.db");
        let registry = Arc::new(Registry::standard());
        let settings = SqliteSettings { path: path.clone(), durable: false, readers: 1, stay: Stay::Resident };
        let store = SqliteStore::open(&settings, Arc::clone(&registry), Arc::new(|| {})).expect("a database");
        let clock = Arc::new(SystemClock);
        let limits = Limits { devices_per_user: DEVICES, ..Limits::default() };
        let service = Service::new(Arc::new(store), registry, clock, limits, TimeDelta::days(90));
        let heard = Arc::new(Heard::default());
        service.set_hints(Arc::clone(&heard) as _);
        rule(&path);
        let expires_at = DateTime::<Utc>::MAX_UTC;
        let caller =
            |user: &UserId| Caller { user: *user, role: Role::Authenticated, email: None, expires_at, token: None };
        let people: Vec<Caller> = people.iter().map(caller).collect();
        Self { heard, service, people, _folder: folder }
    }

    /// The same, whose rows are there.
    async fn known(people: &[UserId]) -> Self {
        let world = Self::new(people).await;
        for caller in &world.people {
            world.service.ensure_user(caller).await.expect("a user");
        }
        world
    }

    /// A device connects; says whether it may.
    async fn connect(&self, person: usize, device: &str) -> bool {
        let device = device.parse().expect("a device's id");
        let seen = DeviceSeen {
            device,
            device_type: None,
            app_version: None,
            name: None,
            pending_uploads: None,
            cursor: None,
        };
        self.service.seen(&self.people[person], seen).await.is_ok()
    }

    /// The results of one upload, without what differs between two databases.
    async fn push(&self, person: usize, changes: &[Value]) -> Value {
        let device: DeviceId = format!("device-{person}").parse().expect("a device's id");
        let changes = serde_json::from_value(json!(changes)).expect("changes");
        match self.service.push(&self.people[person], Some(&device), changes).await {
            Ok(pushed) => {
                json!({"results": pushed.results, "conflicts": conflicts(&pushed), "versions": versions(&pushed)})
            }
            Err(error) => json!({"error": error.to_string()}),
        }
    }
}

/// The conflicts without their rows, which hold times.
fn conflicts(pushed: &Pushed) -> Vec<Value> {
    pushed.conflicts.iter().map(|conflict| json!([conflict.mutation_id, conflict.id, conflict.strategy])).collect()
}

fn versions(pushed: &Pushed) -> Vec<Value> {
    pushed.scopes.iter().map(|(scope, version)| json!([scope, version])).collect()
}

fn rule(path: &Path) {
    let mut connection = SqliteConnection::establish(path.to_str().expect("a path")).expect("a connection");
    connection.batch_execute(RULES).expect("rules");
}

/// A change, drawn; `name` says which rule of the database meets it.
#[derive(Debug, Clone)]
struct Drawn {
    operation: &'static str,
    row: usize,
    name: &'static str,
    base: Option<i64>,
    repeats: bool,
    refers: Option<usize>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let operation = prop_oneof![4 => Just("INSERT"), 4 => Just("UPDATE"), 2 => Just("DELETE"), 1 => Just("UPSERT"), 1 => Just("HOP")];
    let name = prop_oneof![12 => Just("Apple"), 8 => Just("Pear"), 1 => Just("Refused"), 1 => Just("Taken back"), 1 => Just("Passed over")];
    let base = prop_oneof![3 => Just(None), 2 => (0i64..6).prop_map(Some)];
    let refers = prop_oneof![2 => Just(None), 1 => (0..ROWS * 2).prop_map(Some)];
    (operation, 0..ROWS, name, base, proptest::bool::weighted(0.1), refers)
        .prop_map(|(operation, row, name, base, repeats, refers)| Drawn { operation, row, name, base, repeats, refers })
}

fn food(id: Uuid, name: &str) -> Value {
    json!({"id": id, "name_en": name, "name_fr": name, "calories": 52, "proteins": 0, "carbs": 14, "fats": 0})
}

/// The changes of one person in one round, as they are sent.
fn changes(person: usize, people: &[UserId], round: usize, drawn: &[Drawn]) -> Vec<Value> {
    let id = |of: usize, row: usize| Uuid::new_v5(&people[of].0, format!("row {row}").as_bytes());
    let change = |(index, drawn): (usize, &Drawn)| {
        let seed = if drawn.repeats { "repeated".to_owned() } else { format!("{round} {index}") };
        let mutation = Uuid::new_v5(&people[person].0, seed.as_bytes());
        // One that refers to a row, its own or the next person's, is an entry of the diary.
        let (table, data) = match drawn.refers {
            Some(at) => {
                let of = (person + at / ROWS) % PEOPLE;
                let data = json!({"id": id(person, drawn.row + ROWS), "meal_type": "lunch", "quantity": at, "unit": "g",
                    "consumed_at": "2026-01-05T12:00:00Z", "food_id": id(of, at % ROWS)});
                ("food_entries", data)
            }
            None => ("foods", food(id(person, drawn.row), drawn.name)),
        };
        json!({"mutation_id": mutation, "table": table, "operation": drawn.operation, "data": data, "base_version": drawn.base})
    };
    drawn.iter().enumerate().map(change).collect()
}

/// What each person uploads in one round; one round follows the other.
type Rounds = Vec<Vec<Vec<Drawn>>>;

fn rounds() -> impl Strategy<Value = Rounds> {
    let upload = proptest::collection::vec(drawn(), 1..3);
    let round = proptest::collection::vec(upload, PEOPLE);
    proptest::collection::vec(round, 1..5)
}

/// Runs all rounds, each person's uploads at once or one by one.
async fn run(people: &[UserId], rounds: &Rounds, together: bool) -> Vec<Value> {
    let world = World::known(people).await;
    let mut told = Vec::new();
    for (number, round) in rounds.iter().enumerate() {
        let uploads: Vec<Vec<Value>> =
            round.iter().enumerate().map(|(person, drawn)| changes(person, people, number, drawn)).collect();
        let pushes = uploads.iter().enumerate().map(|(person, changes)| world.push(person, changes));
        if together {
            told.extend(join_all(pushes).await);
        } else {
            for push in pushes {
                told.push(push.await);
            }
        }
        let mut heard = std::mem::take(&mut *world.heard.0.lock().expect("a lock"));
        heard.sort_by_key(|commit| commit[0].to_string());
        told.extend(heard);
    }
    world.service.close().await;
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_runs_together_comes_to_what_it_comes_to_alone(rounds in rounds()) {
        let people: Vec<UserId> = (0..PEOPLE).map(|_| UserId(Uuid::new_v4())).collect();
        let runtime = Runtime::new().expect("a runtime");
        let alone = runtime.block_on(run(&people, &rounds, false));
        let together = runtime.block_on(run(&people, &rounds, true));
        prop_assert_eq!(alone, together);
    }
}

#[test]
fn of_people_who_claim_the_same_row_one_gets_it_and_uploads_are_shared() {
    let people: Vec<UserId> = (0..PEOPLE).map(|_| UserId(Uuid::new_v4())).collect();
    Runtime::new().expect("a runtime").block_on(async {
        let world = World::known(&people).await;
        let before = metrics().shared_writes.get();
        for _ in 0..20 {
            let claimed = food(Uuid::new_v4(), "Apple");
            let change =
                [json!({"mutation_id": Uuid::new_v4(), "table": "foods", "operation": "INSERT", "data": claimed})];
            let told = join_all((0..PEOPLE).map(|person| world.push(person, &change))).await;
            let got = told.iter().filter(|told| told["results"][0]["status"] == "applied").count();
            assert_eq!(got, 1, "{told:?}");
            let own = |_| {
                let food = food(Uuid::new_v4(), "Pear");
                [json!({"mutation_id": Uuid::new_v4(), "table": "foods", "operation": "INSERT", "data": food})]
            };
            let own: Vec<_> = (0..PEOPLE).map(own).collect();
            let told = join_all(own.iter().enumerate().map(|(person, change)| world.push(person, change))).await;
            assert!(told.iter().all(|told| told["results"][0]["status"] == "applied"), "{told:?}");
        }
        assert!(metrics().shared_writes.get() > before, "no upload has shared its statements");
        world.service.close().await;
    });
}

/// People who are new connect at once; one of them comes with another device each time, until there is room for no more.
#[test]
fn devices_that_connect_at_once_are_registered_and_one_without_room_takes_nobody_along() {
    let people: Vec<UserId> = (0..PEOPLE).map(|_| UserId(Uuid::new_v4())).collect();
    Runtime::new().expect("a runtime").block_on(async {
        let world = World::new(&people).await;
        let before = metrics().shared_writes.get();
        let world = &world;
        for round in 0..10 {
            let device = |person| if person == 0 { format!("device-{round}") } else { "phone".into() };
            let connected =
                join_all((0..PEOPLE).map(|person| async move { world.connect(person, &device(person)).await })).await;
            let has_room = |person| person > 0 || round < DEVICES;
            assert_eq!(connected, (0..PEOPLE).map(has_room).collect::<Vec<_>>(), "round {round}");
        }
        for (person, caller) in world.people.iter().enumerate() {
            let devices = world.service.devices(caller).await.expect("devices");
            assert_eq!(devices.len(), if person == 0 { DEVICES } else { 1 });
        }
        assert!(metrics().shared_writes.get() > before, "no device has shared its statements");
        world.service.close().await;
    });
}
