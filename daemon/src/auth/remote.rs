//! Keys that are fetched: kept, fetched again when they are old or a token names one that is not there, and never
//! lost because a fetch failed.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::keys::{self, Key};

/// The time that fetched keys count as new.
const FRESH: Duration = Duration::from_secs(600);
/// The least time between two fetches: tokens with made-up key ids must not turn the daemon on its issuer.
const LEAST_INTERVAL: Duration = Duration::from_secs(30);
/// The time limit of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document that is read.
const LARGEST_DOCUMENT: u64 = 1 << 20;

/// Gets the document; tests bring their own.
pub(super) type Fetch = dyn Fn() -> Result<Vec<u8>, String> + Send + Sync;

/// The keys behind a URL.
pub(super) struct RemoteKeys {
    fetch: Arc<Fetch>,
    keys: RwLock<Arc<Vec<Key>>>,
    /// The times of the last fetch and the last try. Held while fetching, so that there is one fetch at a time.
    attempts: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    tried: Option<Instant>,
    succeeded: Option<Instant>,
}

impl Attempts {
    fn is_due(&self) -> bool {
        let older = |time: Option<Instant>, age: Duration| time.is_none_or(|time| time.elapsed() >= age);
        older(self.succeeded, FRESH) && self.may_try()
    }

    fn may_try(&self) -> bool {
        self.tried.is_none_or(|tried| tried.elapsed() >= LEAST_INTERVAL)
    }
}

impl RemoteKeys {
    /// Keys that `url` serves; nothing is fetched yet.
    pub(super) fn at(url: String) -> Self {
        Self::fetched_by(Arc::new(move || get(&url)))
    }

    pub(super) fn fetched_by(fetch: Arc<Fetch>) -> Self {
        Self { fetch, keys: RwLock::default(), attempts: tokio::sync::Mutex::default() }
    }

    /// The keys as they are known. Old ones are fetched again by one caller, while the others go on with what is there.
    pub(super) async fn current(&self) -> Arc<Vec<Key>> {
        let known = self.known();
        if known.is_empty() {
            let mut attempts = self.attempts.lock().await;
            if attempts.is_due() {
                self.refresh(&mut attempts).await;
            }
        } else if let Ok(mut attempts) = self.attempts.try_lock()
            && attempts.is_due()
        {
            self.refresh(&mut attempts).await;
        }
        self.known()
    }

    /// The keys after a token named one that `seen` does not hold.
    pub(super) async fn after_unknown(&self, seen: &Arc<Vec<Key>>) -> Arc<Vec<Key>> {
        let mut attempts = self.attempts.lock().await;
        if Arc::ptr_eq(seen, &self.known()) && attempts.may_try() {
            self.refresh(&mut attempts).await;
        }
        self.known()
    }

    fn known(&self) -> Arc<Vec<Key>> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn refresh(&self, attempts: &mut Attempts) {
        attempts.tried = Some(Instant::now());
        let fetch = Arc::clone(&self.fetch);
        let fetched = tokio::task::spawn_blocking(move || fetch()).await.unwrap_or_else(|error| Err(error.to_string()));
        let keys = fetched.and_then(|text| keys::of_jwks(&text).ok_or_else(|| "it holds no usable key".to_owned()));
        match keys {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "fetched the keys that tokens are checked with");
                attempts.succeeded = attempts.tried;
                *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => {
                tracing::warn!(%error, "can't fetch the keys that tokens are checked with (auth.jwks_url); the old ones stay");
            }
        }
    }
}

fn get(url: &str) -> Result<Vec<u8>, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT)).build().into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    response.body_mut().with_config().limit(LARGEST_DOCUMENT).read_to_vec().map_err(|error| error.to_string())
}
