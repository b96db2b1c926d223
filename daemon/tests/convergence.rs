//! Random devices with random luck: edits, offline spells, lost answers, repeated and late requests, pruned tombstones,
//! backups that are restored. After quiet every copy equals the server's, the digests agree, and every increment that was
//! made counts exactly once.

#[path = "convergence/device.rs"]
mod device;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use device::{Device, TABLES};
use proptest::prelude::*;
use ryzed::auth::{Caller, Role};
use ryzed::clock::Clock;
use ryzed::config::Limits;
use ryzed::service::{Counted, Service};
use ryzed::store::Stay;
use ryzed::store::sqlite::{SqliteSettings, SqliteStore};
use ryzed::sync::{Scope, UserId};
use ryzed_adapters::Registry;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The number of one person's devices.
const DEVICES: usize = 3;

/// A step of a run.
#[derive(Debug, Clone)]
enum Action {
    Edit { device: usize, row: usize, field: usize, value: u8 },
    Increment { device: usize },
    Delete { device: usize, row: usize },
    Sync { device: usize },
    AnswerLost { device: usize },
    SentTwice { device: usize },
    ArrivesLate { device: usize },
    Backup { device: usize },
    Restore { device: usize },
    Forget,
}

fn action() -> impl Strategy<Value = Action> {
    let device = 0..DEVICES;
    prop_oneof![
        8 => (device.clone(), 0..6usize, 0..4usize, any::<u8>())
            .prop_map(|(device, row, field, value)| Action::Edit { device, row, field, value }),
        3 => device.clone().prop_map(|device| Action::Increment { device }),
        2 => (device.clone(), 0..6usize).prop_map(|(device, row)| Action::Delete { device, row }),
        6 => device.clone().prop_map(|device| Action::Sync { device }),
        2 => device.clone().prop_map(|device| Action::AnswerLost { device }),
        1 => device.clone().prop_map(|device| Action::SentTwice { device }),
        1 => device.clone().prop_map(|device| Action::ArrivesLate { device }),
        1 => device.clone().prop_map(|device| Action::Backup { device }),
        1 => device.prop_map(|device| Action::Restore { device }),
        1 => Just(Action::Forget),
    ]
}

/// A clock that the test turns.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::days(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    service: Arc<Service>,
    clock: Arc<TestClock>,
    caller: Caller,
    devices: Vec<Device>,
    backups: BTreeMap<usize, Device>,
    increments: i64,
}

/// One server for all cases: each case is another person.
fn server() -> &'static (Runtime, Arc<Service>, Arc<TestClock>) {
    static SERVER: OnceLock<(Runtime, Arc<Service>, Arc<TestClock>)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let registry = Arc::new(Registry::standard());
        let settings =
            SqliteSettings { path: folder.join("ryzed.db"), durable: false, readers: 2, stay: Stay::Resident };
        let store = SqliteStore::open(&settings, Arc::clone(&registry), Arc::new(|| {})).expect("a database");
        let clock = Arc::new(TestClock(AtomicI64::new(0)));
        let keep = TimeDelta::days(90);
        let service = Service::new(Arc::new(store), registry, Arc::clone(&clock) as _, Limits::default(), keep);
        (Runtime::new().expect("a runtime"), Arc::new(service), clock)
    })
}

impl World {
    async fn begin() -> Self {
        let (_, service, clock) = server();
        let expires_at = DateTime::<Utc>::MAX_UTC;
        let user = UserId(Uuid::new_v4());
        let caller = Caller { user, role: Role::Authenticated, email: None, expires_at, token: None };
        let mut devices: Vec<_> = (0..DEVICES).map(|number| Device::new(number, user.0)).collect();
        // A counter that all of them know.
        devices[0].make_counter();
        for device in &mut devices {
            device.sync(service, &caller).await;
        }
        Self {
            service: Arc::clone(service),
            clock: Arc::clone(clock),
            caller,
            devices,
            backups: BTreeMap::new(),
            increments: 0,
        }
    }

    async fn happen(&mut self, action: Action) {
        let (service, caller) = (&self.service, &self.caller);
        match action {
            Action::Edit { device, row, field, value } => self.devices[device].edit(row, field, value),
            Action::Increment { device } => {
                self.increments += i64::from(self.devices[device].increment());
            }
            Action::Delete { device, row } => self.devices[device].delete(row),
            Action::Sync { device } => self.devices[device].sync(service, caller).await,
            Action::AnswerLost { device } => self.devices[device].send(service, caller).await,
            Action::SentTwice { device } => {
                self.devices[device].send(service, caller).await;
                self.devices[device].sync(service, caller).await;
            }
            Action::ArrivesLate { device } => self.devices[device].again(service, caller).await,
            Action::Backup { device } => {
                self.backups.insert(device, self.devices[device].clone());
            }
            // Only a device without unsent edits, else the restore itself would be what loses them.
            Action::Restore { device } => {
                if self.devices[device].is_quiet()
                    && let Some(backup) = self.backups.get(&device).filter(|backup| backup.is_quiet())
                {
                    self.devices[device] = backup.clone();
                }
            }
            Action::Forget => {
                // The receipts go with the tombstones: no request travels that long, and nobody may still have to retry.
                if self.devices.iter().all(Device::is_quiet) {
                    self.devices.iter_mut().chain(self.backups.values_mut()).for_each(Device::forget_sent);
                    self.clock.0.fetch_add(100, Ordering::Relaxed);
                    service.collect(Vec::new()).await.expect("housekeeping");
                }
            }
        }
    }

    async fn come_to_rest(&mut self) {
        for _ in 0..2 {
            for device in &mut self.devices {
                device.sync(&self.service, &self.caller).await;
            }
        }
    }

    async fn check(&self) {
        let Counted { cursor, digest, .. } = self.service.digest(&self.caller, &[]).await.expect("a digest");
        for device in &self.devices {
            assert!(device.is_quiet(), "nothing is left to send");
            assert_eq!(device.cursor.user, cursor.user);
            assert_eq!(device.rows, self.devices[0].rows, "all copies are equal");
            for table in TABLES {
                assert_eq!(device.digest(table), digest[table], "{table}");
            }
        }
        assert_eq!(self.devices[0].counter(), self.increments, "each increment counts once");
        let page = self.service.scope_page(Scope::User(self.caller.user), 0, None).await.expect("a page");
        assert!(page.records.windows(2).all(|pair| pair[0].version < pair[1].version), "versions rise");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn after_quiet_every_copy_equals_the_servers(actions in proptest::collection::vec(action(), 1..80)) {
        let (runtime, ..) = server();
        runtime.block_on(async {
            let mut world = World::begin().await;
            for action in actions {
                world.happen(action).await;
            }
            world.come_to_rest().await;
            world.check().await;
        });
    }
}
