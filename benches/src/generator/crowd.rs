//! The people of a run, connected: made, set to work and sent home together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::{Semaphore, mpsc::unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::device::{Socket, attend, connect};
use super::hub::{Hub, Person};
use super::ledger::Counts;
use super::server::Server;

/// Handshakes at a time, where nothing else is asked for.
pub const AT_ONCE: usize = 128;
/// The time for which nothing may come before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time after which it does, whatever still comes.
const LONGEST: Duration = Duration::from_secs(60);
/// The time that devices may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// One identity that is to connect.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The daemon to connect to.
    pub server: Arc<Server>,
    /// The name of the device.
    pub device: String,
    /// The person's token.
    pub token: Arc<str>,
    /// The place to resume from.
    pub cursor: Option<Arc<str>>,
}

/// The devices of a person, which take turns at the daemons.
#[must_use]
pub fn visitors(server: &Server, person: Uuid, devices: usize, cursor: Option<&Arc<str>>) -> Vec<Visitor> {
    let token: Arc<str> = server.token(person).into();
    let visitor = |device| Visitor {
        server: Arc::new(server.turn(device)),
        device: format!("load-{device}"),
        token: Arc::clone(&token),
        cursor: cursor.cloned(),
    };
    (0..devices).map(visitor).collect()
}

/// Connects all, so many at a time; each socket with the time from the common start until it was in, in the order of the
/// visitors.
///
/// # Errors
/// When one does not get in.
pub async fn arrive(visitors: Vec<Visitor>, at_once: usize) -> Result<Vec<(Socket, Duration)>> {
    let began = Instant::now();
    let doors = Arc::new(Semaphore::new(at_once));
    let mut coming = JoinSet::new();
    let count = visitors.len();
    for (at, visitor) in visitors.into_iter().enumerate() {
        let doors = Arc::clone(&doors);
        coming.spawn(async move {
            let _door = doors.acquire().await;
            let Visitor { server, device, token, cursor } = visitor;
            let socket = connect(&server, &token, &device, cursor.as_deref()).await;
            (at, socket.map(|socket| (socket, began.elapsed())))
        });
    }
    let mut sockets: Vec<Option<(Socket, Duration)>> = (0..count).map(|_| None).collect();
    while let Some(came) = coming.join_next().await {
        let (at, socket) = came?;
        sockets[at] = Some(socket.with_context(|| format!("device {at} of {count} did not connect"))?);
    }
    Ok(sockets.into_iter().flatten().collect())
}

/// People with their devices, all connected and attended.
#[derive(Debug)]
pub struct Crowd {
    people: Vec<Arc<Person>>,
    hub: Arc<Hub>,
    tasks: JoinSet<()>,
}

impl Crowd {
    /// New people with so many devices each.
    ///
    /// # Errors
    /// When one does not get in.
    pub async fn gather(hub: Arc<Hub>, server: &Server, people: usize, devices: usize) -> Result<Self> {
        let ids: Vec<Uuid> = (0..people).map(|_| Uuid::new_v4()).collect();
        let visitors = ids.iter().flat_map(|id| visitors(server, *id, devices, None)).collect();
        let sockets = arrive(visitors, AT_ONCE).await?;
        let mut sockets = sockets.into_iter().map(|(socket, _)| socket);
        let mut crowd = Self { people: Vec::with_capacity(people), hub, tasks: JoinSet::new() };
        for id in ids {
            let (says, hears): (Vec<_>, Vec<_>) = (0..devices).map(|_| unbounded_channel()).unzip();
            let person = Arc::new(Person::new(Arc::clone(&crowd.hub), id, says));
            for (device, (orders, socket)) in hears.into_iter().zip(&mut sockets).enumerate() {
                crowd.tasks.spawn(attend(Arc::clone(&person), device, socket, orders));
            }
            crowd.people.push(person);
        }
        Ok(crowd)
    }

    /// The people.
    #[must_use]
    pub fn people(&self) -> &[Arc<Person>] {
        &self.people
    }

    /// The run.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The number of devices that are still connected.
    pub fn connected(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len()
    }

    /// The balance of all ledgers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.people.iter().for_each(|person| counts.add(&person.ledger().counts()));
        counts
    }

    /// Waits until everything that was sent has come to everybody, or nothing comes any more.
    pub async fn settle(&self) {
        let open = |counts: Counts| counts.unanswered + counts.lost;
        let began = Instant::now();
        let (mut least, mut since) = (u64::MAX, Instant::now());
        while began.elapsed() < LONGEST && since.elapsed() < PATIENCE {
            let now = open(self.counts());
            if now == 0 {
                return;
            }
            if now < least {
                (least, since) = (now, Instant::now());
            }
            sleep(LOOK).await;
        }
    }

    /// Ends all devices.
    pub async fn leave(mut self) {
        self.hub.end();
        self.people.iter().for_each(|person| person.leave());
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever is still there is dropped.
        let _ = tokio::time::timeout(FAREWELL, ending).await;
    }
}
