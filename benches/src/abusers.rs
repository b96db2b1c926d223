//! People who ask for much with little, each in one way. What they do again and again is made ready before, so that the bench
//! itself costs as little as it can.

mod costs;
mod doors;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use ryzed_tests::{Account, Daemon};
use tokio::task::JoinHandle;

pub use costs::COSTS;
pub use doors::DOORS;

/// A kind of abuser.
#[derive(Debug)]
pub struct Abuser {
    /// The attack, in words.
    pub name: &'static str,
    /// The number of parallel attackers with one token.
    pub parallel: usize,
    /// The databases that it is for.
    pub on: On,
    /// Makes ready.
    pub prepare: Prepare,
}

/// The databases that an abuser is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Either.
    Both,
    /// PostgreSQL alone.
    Postgres,
}

/// Makes ready what is done again and again.
pub type Prepare = fn(Target) -> BoxFuture<'static, Strike>;
/// Does it once.
pub type Strike = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Whom it is done to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The daemon's address.
    pub address: String,
    /// The abuser's account.
    pub me: Account,
    /// An account that may write the catalogue.
    pub keeper: Account,
    /// Other people who do the same at the same time.
    pub people: Vec<Account>,
    /// The database, for what an application does to it.
    pub database: ryzed_tests::Database,
}

impl Target {
    /// Of a daemon, with an account that nobody else has.
    #[must_use]
    pub fn of(daemon: &Daemon) -> Self {
        Self {
            address: daemon.address(),
            me: daemon.account(),
            keeper: daemon.account_of(ryzed_tests::Person::admin()),
            people: (0..20).map(|_| daemon.account()).collect(),
            database: daemon.database(),
        }
    }
}

/// Abusers at work.
#[derive(Debug)]
pub struct AtWork {
    goes_on: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl AtWork {
    /// Has so many do it without a pause, on a runtime of their own.
    #[must_use]
    pub fn start(runtime: &tokio::runtime::Handle, strike: &Strike, parallel: usize) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let tasks = (0..parallel).map(|_| {
            let (strike, goes_on) = (Arc::clone(strike), Arc::clone(&goes_on));
            runtime.spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    strike().await;
                }
            })
        });
        Self { tasks: tasks.collect(), goes_on }
    }

    /// Has them stop, in the middle of whatever they do.
    pub async fn stop(self) {
        self.goes_on.store(false, Ordering::Relaxed);
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

/// A strike that sends the same request each time and lets the answer pass.
fn again(me: &Account, method: hyper::Method, path: &str, body: String) -> Strike {
    let (api, path, body) = (me.api.clone(), path.to_owned(), bytes::Bytes::from(body));
    Arc::new(move || {
        let (api, path, body, method) = (api.clone(), path.clone(), body.clone(), method.clone());
        Box::pin(async move {
            let _ = api.raw(method, &path, &[("content-type", "application/json")], body).await;
        })
    })
}
