//! `ryzed serve`: joins the parts, says where they are, and ends well when told to.

mod banner;
mod notify;
mod reload;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::store::{self, Opened, Stay};
use super::{Failure, Outcome, Settings};
use crate::actors::{self, Live, Neighbours};
use crate::auth::{Secret, Verifier, Verify};
use crate::carrier::{self, Trust};
use crate::clock::SystemClock;
use crate::config::{Config, Sources};
use crate::http::{self, App, Listening, SocketFilter};
use crate::service::Service;
use crate::transfer::starter;

/// What is left of the ten seconds that stopping may take, for what no drain waits for.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The parts that were joined.
struct Assembled {
    service: Arc<Service>,
    live: Live,
    socket: SocketFilter,
}

pub(super) fn run(config: Config, sources: Sources, settings: &Settings) -> Outcome {
    // Every socket is a file; a shell's soft limit of 1,024 is soon reached, the hard one is the operator's.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("can't make the data directory {}", config.data_dir.display()))?;
    let secret = Secret::load_or_create(&config).map_err(Failure::usage)?;
    let verifier = Arc::new(Verifier::new(&config.auth, secret.as_ref()).map_err(Failure::usage)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can't start the runtime")?;
    let outcome = runtime.block_on(serve(Arc::new(config), sources, secret.as_ref(), verifier, settings));
    runtime.shutdown_timeout(LAST_MOMENT);
    outcome
}

async fn serve(
    config: Arc<Config>,
    sources: Sources,
    secret: Option<&Secret>,
    verifier: Arc<dyn Verify>,
    settings: &Settings,
) -> Outcome {
    // From here on a signal is a wish to end well, even while the database is still being migrated; and a hangup kills nothing.
    let mut stop = Box::pin(stop_signal()?);
    let hangups = signal(SignalKind::hangup()).context("can't listen for SIGHUP")?;
    let reloads = tokio::spawn(reload::at_hangups(hangups, sources, Config::clone(&config)));
    let address = &config.server.listen;
    if config.redis_is_idle() {
        tracing::warn!("redis.url is not used: it joins several instances, and a SQLite database has one");
    }
    let redis = config.redis_address().map_err(|complaint| Failure::usage(anyhow::anyhow!(complaint)))?;
    let redis = redis.map(|address| carrier::redis::Settings { address, prefix: config.redis.prefix.clone() });
    let listening =
        Listening::on(address).await.with_context(|| format!("can't listen on {address} (server.listen)"))?;
    tokio::select! {
        there = store::wait_until_there(&config) => there?,
        () = &mut stop => {
            tracing::info!("stopped before the database was there");
            return Ok(());
        }
    }
    let Assembled { service, live, socket } = assemble(&config, &verifier, redis).await?;
    let address = listening.address().context("can't tell the address that is listened on")?;
    banner::print(address, &config, secret, settings)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
    notify::ready();
    let watchdog = notify::feed_watchdog(Arc::clone(&service));
    let app = Arc::new(App { service, verifier, live: Arc::new(live.clone()), config });
    let mut has_failed = false;
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = live.ended() => has_failed = true,
        }
        notify::stopping();
        tracing::info!("stopping");
    };
    http::serve(listening, Arc::clone(&app), socket, stop).await;
    watchdog.abort();
    reloads.abort();
    app.service.close().await;
    tracing::info!("stopped");
    if has_failed { Err(anyhow::anyhow!("the actors have ended; the log says why").into()) } else { Ok(()) }
}

/// Opens the store, starts what lives on it, and joins them.
async fn assemble(
    config: &Arc<Config>,
    verifier: &Arc<dyn Verify>,
    redis: Option<carrier::redis::Settings>,
) -> Result<Assembled, Failure> {
    // The store is there before the actors that are to hear of outside writes; until then nobody is connected.
    let hears: Arc<OnceLock<Live>> = Arc::default();
    let ears = Arc::clone(&hears);
    let outside = Arc::new(move || ears.get().into_iter().for_each(Live::outside_write));
    let Opened { store, registry, is_adopted } = store::open(config, Stay::Resident, outside).await?;
    let keep = TimeDelta::days(config.sync.tombstone_days.into());
    let service = Service::new(store, registry, Arc::new(SystemClock), config.limits.clone(), keep);
    let service = Arc::new(service);
    if !is_adopted {
        starter::load(&service).await.context("can't load the starter catalogue")?;
    }
    let settings = actors::Settings {
        heartbeat: Duration::from_secs(config.sync.heartbeat_seconds),
        sweep: Duration::from_secs(config.sync.sweep_seconds),
        patience: Duration::from_secs(config.server.patience_seconds),
        ..actors::Settings::default()
    };
    let neighbours = match service.bridge_key() {
        Some(key) => Neighbours {
            trust: Arc::new(Trust::new(Uuid::new_v4(), &key.0, service.epoch())),
            name: name(&config.server.listen),
            lease: Duration::from_secs(config.sync.lease_seconds),
            redis: redis.map(|redis| Arc::new(redis) as _),
            directory: Some(Arc::clone(&service) as _),
        },
        None => Neighbours::none(),
    };
    let live = Live::start(Arc::clone(&service), Arc::clone(&service) as _, settings, neighbours).await;
    let live = live.context("can't start the actors")?;
    let _ = hears.set(live.clone());
    let stops = live.clone();
    service.hear_of_stops(Arc::new(move |stopped| stops.tables_stopped(stopped.names().collect())));
    let socket = http::socket::route(live.clone(), Arc::clone(verifier), config);
    Ok(Assembled { service, live, socket })
}

/// What people call this instance. Where it listens may be the same on every host.
fn name(listen: &str) -> String {
    format!("{}/{listen}", rustix::system::uname().nodename().to_string_lossy())
}

/// Ready at SIGTERM or Ctrl-C.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
