//! `ryzed serve`: joins the parts, prints the addresses, and stops cleanly.

mod banner;
mod notify;
mod reload;
mod sample;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::store::{self, Opened};
use super::{Failure, Outcome, SettingFlags, traces};
use crate::actors::{self, ClusterSettings, Realtime};
use crate::auth::{Secret, Verifier, Verify};
use crate::carrier::{self, Trust};
use crate::clock::{self, SystemClock};
use crate::config::{Config, Sources};
use crate::http::{self, App, Guests, Listening, People, SocketFilter};
use crate::private;
use crate::service::{InstanceDirectory, Service};
use crate::store::Stay;
use crate::transfer::starter;

/// The rest of the ten seconds that stopping may take, for work that no drain waits for.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Serve until told to stop; what happens without a command.
#[derive(Debug, Default, Args)]
pub(super) struct Options {
    /// Begin an empty database although there was one; every device then starts over
    #[arg(long)]
    new_database: bool,
}

/// The parts that were joined.
struct Assembled {
    service: Arc<Service>,
    live: Realtime,
    socket: SocketFilter,
    is_adopted: bool,
}

pub(super) fn run(config: Config, sources: Sources, settings: &SettingFlags, options: &Options) -> Outcome {
    sources.look().renamed.iter().for_each(|line| tracing::warn!("{line}"));
    // Every socket is a file; a shell's soft limit of 1,024 is soon reached, the hard one is the operator's.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let load = || Secret::load_or_create(&config).map_err(Failure::usage);
    // One that is there is looked at first: what is wrong with it is no question of the database.
    let known = if Secret::is_to_be_made(&config) { None } else { Some(load()?) };
    let database = config.database_server().is_none().then(|| config.database_path());
    let look_after =
        || private::look_after(&config.data_dir, database.as_deref()).context("can't start").map_err(Failure::Usage);
    // What is there is looked at before it is believed.
    if config.data_dir.exists() {
        look_after()?;
    }
    traces::check(&config, options.new_database)?;
    private::make_folder(&config.data_dir)
        .with_context(|| format!("can't make the data directory {}", config.data_dir.display()))?;
    // Until the process ends. Several daemons on one server may share what little they keep there.
    let _held = store::hold_folder(&config)?;
    look_after()?;
    let named =
        [&config.auth.secret_file, &config.database.password_file, &config.redis.url_file].into_iter().flatten();
    named.cloned().chain(sources.file_with_secrets()).for_each(|path| private::warn_if_read_by_others(&path));
    let secret = known.map_or_else(load, Ok)?;
    let verifier = Arc::new(Verifier::new(&config.auth, secret.as_ref()).map_err(Failure::usage)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can't start the runtime")?;
    let keys = (secret.as_ref(), verifier as Arc<dyn Verify>);
    let outcome = runtime.block_on(serve(Arc::new(config), sources, keys, settings, options));
    runtime.shutdown_timeout(LAST_MOMENT);
    outcome
}

async fn serve(
    config: Arc<Config>,
    sources: Sources,
    (secret, verifier): (Option<&Secret>, Arc<dyn Verify>),
    settings: &SettingFlags,
    options: &Options,
) -> Outcome {
    // From here on a signal is a wish to end well, even while the database is still being migrated; and a hangup kills nothing.
    let mut stop = Box::pin(stop_signal()?);
    let hangups = signal(SignalKind::hangup()).context("can't listen for SIGHUP")?;
    // A file that may not grow is an error of the disk like others; left to itself the system would end the process.
    let _too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let reloads = tokio::spawn(reload::at_hangups(hangups, sources, Config::clone(&config)));
    let address = &config.server.listen;
    if config.redis_is_idle() {
        tracing::warn!("redis.url is not used: it joins several instances, and a SQLite database has one");
    }
    let redis = config.redis_address().map_err(|complaint| Failure::usage(anyhow::anyhow!(complaint)))?;
    let redis = redis.map(|address| carrier::redis::RedisSettings { address, prefix: config.redis.prefix.clone() });
    let listening =
        Listening::on(address).await.with_context(|| format!("can't listen on {address} (server.listen)"))?;
    tokio::select! {
        there = store::wait_until_there(&config) => there?,
        () = &mut stop => {
            tracing::info!("stopped before the database was there");
            return Ok(());
        }
    }
    traces::check_server(&config, options.new_database).await?;
    let files = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    let guests = Guests::new(&config.limits, &config.server.trusted_proxies, files);
    let Assembled { service, live, socket, is_adopted } = assemble(&config, &verifier, &guests, redis).await?;
    traces::leave(&config, service.epoch());
    let address = listening.address().context("can't tell the address that is listened on")?;
    banner::print(address, &config, secret, settings)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
    notify::ready();
    let watchdog = notify::feed_watchdog(Arc::clone(&service));
    let sampling = sample::at_sweeps(Arc::clone(&service), Duration::from_secs(config.sync.sweep_seconds));
    let people = People::of(&config, secret, address.ip(), is_adopted);
    let app = App::new(service, verifier, Arc::new(live.clone()), guests, config, people);
    let mut failed = None;
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = live.ended() => failed = Some("the actors have ended; the log says why".to_owned()),
            gone = app.service.gone() => failed = Some(gone),
        }
        notify::stopping();
        tracing::info!("stopping");
    };
    http::serve(listening, Arc::clone(&app), socket, stop).await;
    watchdog.abort();
    sampling.abort();
    reloads.abort();
    app.service.close().await;
    tracing::info!("stopped");
    failed.map_or(Ok(()), |failed| Err(anyhow::anyhow!(failed).into()))
}

/// Opens the store, starts what lives on it, and joins them.
async fn assemble(
    config: &Arc<Config>,
    verifier: &Arc<dyn Verify>,
    guests: &Arc<Guests>,
    redis: Option<carrier::redis::RedisSettings>,
) -> Result<Assembled, Failure> {
    // The store is there before the actors that are to hear of outside writes; until then nobody is connected.
    let hears: Arc<OnceLock<Realtime>> = Arc::default();
    let ears = Arc::clone(&hears);
    let outside = Arc::new(move || ears.get().into_iter().for_each(Realtime::outside_write));
    let Opened { store, registry, is_adopted } = store::open(config, Stay::Resident, outside).await?;
    let keep = TimeDelta::days(config.sync.tombstone_days.into());
    let service = Service::new(store, registry, Arc::new(SystemClock), config.limits.clone(), keep);
    let service = Arc::new(service);
    service.begin_time(clock::is_set_by_others().await).await.context("can't ask the database for the time")?;
    if !is_adopted {
        starter::load(&service).await.context("can't load the starter catalogue")?;
    }
    let settings = actors::RealtimeSettings {
        heartbeat: Duration::from_secs(config.sync.heartbeat_seconds),
        sweep: Duration::from_secs(config.sync.sweep_seconds),
        hang_timeout: Duration::from_secs(config.server.hang_timeout_seconds),
        ..actors::RealtimeSettings::default()
    };
    let cluster = match service.bridge_key() {
        Some(key) => ClusterSettings {
            trust: Arc::new(Trust::new(Uuid::new_v4(), &key.0, service.epoch())),
            name: name(&config.server.listen),
            lease: Duration::from_secs(config.sync.lease_seconds),
            redis: redis.map(|redis| Arc::new(redis) as _),
            directory: Some(InstanceDirectory::new(Arc::clone(&service))),
        },
        None => ClusterSettings::none(),
    };
    let live = Realtime::start(Arc::clone(&service), Arc::clone(&service) as _, settings, cluster).await;
    let live = live.context("can't start the actors")?;
    let _ = hears.set(live.clone());
    let stops = live.clone();
    service.hear_of_stops(Arc::new(move |stopped| stops.tables_stopped(stopped.names().collect())));
    let socket = http::socket::route(live.clone(), Arc::clone(verifier), Arc::clone(guests), config);
    Ok(Assembled { service, live, socket, is_adopted })
}

/// The name of this instance, for people. Its address may be the same on every host.
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
