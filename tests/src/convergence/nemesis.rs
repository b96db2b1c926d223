//! Carries out what is to break: among the processes one thing after another, on the lines at the same time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::oracle::Oracle;
use super::plan::{Fault, FaultPlan, Weather, WeatherPlan};
use super::world::{Lines, Processes};
use super::{altering, outside};
use crate::Database;

/// The time that a daemon may need until it is back.
const BACK: Duration = Duration::from_secs(90);

/// Breaks processes until it is told to stop, and leaves all of them running.
pub async fn break_processes(
    mut processes: Processes,
    plan: FaultPlan,
    oracle: Arc<Oracle>,
    mut stop: watch::Receiver<bool>,
) -> Processes {
    for (calm, fault) in plan {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep(calm) => {}
        }
        oracle.timeline.note("nemesis", format!("{fault:?}"));
        processes.faults += 1;
        carry_out(&mut processes, fault, &oracle).await;
        oracle.timeline.note("nemesis", "all processes run");
    }
    processes
}

async fn carry_out(processes: &mut Processes, fault: Fault, oracle: &Oracle) {
    match fault {
        Fault::KillDaemon(daemon, down) => {
            tokio::task::block_in_place(|| processes.daemons[daemon].kill9());
            sleep(down).await;
            start(processes, daemon, oracle).await;
        }
        Fault::KillAllDaemons(down) => {
            tokio::task::block_in_place(|| processes.daemons.iter_mut().for_each(crate::Daemon::kill9));
            sleep(down).await;
            for daemon in 0..processes.daemons.len() {
                start(processes, daemon, oracle).await;
            }
        }
        Fault::PauseDaemon(daemon, pause) => {
            processes.daemons[daemon].pause();
            sleep(pause).await;
            processes.daemons[daemon].wake();
        }
        Fault::RestartDaemon(daemon) => restart(processes, daemon, oracle).await,
        Fault::CrashPostgres(down) => {
            let Some(cluster) = &processes.cluster else { return };
            tokio::task::block_in_place(|| cluster.crash());
            sleep(down).await;
            tokio::task::block_in_place(|| cluster.start_again());
        }
        Fault::RestartPostgres(down) => {
            let Some(cluster) = &processes.cluster else { return };
            tokio::task::block_in_place(|| cluster.shut_down());
            sleep(down).await;
            tokio::task::block_in_place(|| cluster.start_again());
        }
        Fault::KillRedis(down) => {
            let Some(redis) = &mut processes.redis else { return };
            tokio::task::block_in_place(|| redis.kill9());
            sleep(down).await;
            tokio::task::block_in_place(|| redis.start_again());
        }
        Fault::Forget(person, daemon) => {
            match outside::age(&processes.database(), processes.people[person], oracle, person).await {
                Ok(()) => restart(processes, daemon, oracle).await,
                Err(error) => oracle.timeline.note("nemesis", format!("nothing became old: {error:#}")),
            }
        }
        Fault::Alter(alteration) => {
            if altering::carry_out(processes, &alteration, oracle).await {
                restart(processes, alteration.daemon, oracle).await;
            }
        }
        Fault::ClockBehind(days) => {
            for daemon in 0..processes.daemons.len() {
                stop(processes, daemon, oracle).await;
            }
            if let Err(error) = outside::ahead(&processes.database(), days).await {
                oracle.timeline.note("nemesis", format!("the database does not get ahead of the clock: {error:#}"));
            }
            for daemon in 0..processes.daemons.len() {
                start(processes, daemon, oracle).await;
            }
        }
        Fault::LoseFile(daemon) => {
            let Database::Sqlite(file) = processes.database() else { return };
            tokio::task::block_in_place(|| processes.daemons[daemon].kill9());
            if let Err(error) = lose(processes, daemon, &file, oracle) {
                oracle.violated("nemesis", format!("the file can't be taken away and put back: {error}"));
            }
            start(processes, daemon, oracle).await;
        }
        Fault::Unmount(daemon, down) => {
            let Database::Sqlite(file) = processes.database() else { return };
            if let Err(error) = unmount(processes, daemon, &file, down, oracle).await {
                oracle.violated("nemesis", format!("the folder can't be taken away and put back: {error}"));
            }
            start(processes, daemon, oracle).await;
        }
    }
}

/// Takes the folder away under a daemon, which must end by itself and begin nothing there, and puts it back.
async fn unmount(
    processes: &mut Processes,
    daemon: usize,
    file: &Path,
    down: Duration,
    oracle: &Oracle,
) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return Ok(()) };
    let (away, left) = (folder.with_extension("away"), folder.with_extension("left"));
    std::fs::rename(folder, &away)?;
    // Without being told: whoever serves nothing that lasts must not go on.
    let code = processes.daemons[daemon].exit_code().await;
    if code != 1 {
        oracle.violated("nemesis", format!("daemon {daemon}, whose folder went, ended with {code}"));
    }
    sleep(down).await;
    // What it has left where the folder was hides under it again once it is back, as under a mount.
    if folder.exists() {
        if tokio::task::block_in_place(|| processes.daemons[daemon].try_restart()) {
            oracle.violated("nemesis", format!("daemon {daemon} began anew where its folder had been"));
            tokio::task::block_in_place(|| processes.daemons[daemon].kill9());
        }
        if folder.join(name).exists() {
            oracle.violated("nemesis", format!("daemon {daemon} has made a database where its folder had been"));
        }
        let _ = std::fs::remove_dir_all(&left);
        std::fs::rename(folder, &left)?;
    }
    std::fs::rename(&away, folder)
}

/// Has a daemon start without its file, which it must refuse, and puts the file back.
fn lose(processes: &mut Processes, daemon: usize, file: &Path, oracle: &Oracle) -> std::io::Result<()> {
    let parts = ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display())));
    let away = |part: &PathBuf| part.with_extension(format!("{}.away", part.extension().unwrap_or_default().display()));
    let there: Vec<&PathBuf> = parts.iter().filter(|part| part.exists()).collect();
    for part in &there {
        std::fs::rename(part, away(part))?;
    }
    if tokio::task::block_in_place(|| processes.daemons[daemon].try_restart()) {
        oracle
            .violated("nemesis", format!("daemon {daemon} began an empty database in the place of one that was there"));
        tokio::task::block_in_place(|| processes.daemons[daemon].kill9());
    }
    for part in &parts {
        if part.exists() {
            oracle.violated("nemesis", format!("daemon {daemon} has made {}", part.display()));
        }
    }
    there.iter().try_for_each(|part| std::fs::rename(away(part), part))
}

async fn restart(processes: &mut Processes, daemon: usize, oracle: &Oracle) {
    stop(processes, daemon, oracle).await;
    start(processes, daemon, oracle).await;
}

async fn stop(processes: &mut Processes, daemon: usize, oracle: &Oracle) {
    processes.daemons[daemon].terminate();
    let code = processes.daemons[daemon].exit_code().await;
    if code != 0 {
        oracle.violated("nemesis", format!("daemon {daemon}, told to stop, ended with {code}"));
    }
}

/// Starts a daemon that has ended. While lines are broken it may take several tries.
async fn start(processes: &mut Processes, daemon: usize, oracle: &Oracle) {
    let began = Instant::now();
    while !tokio::task::block_in_place(|| processes.daemons[daemon].try_restart()) {
        oracle.timeline.note("nemesis", format!("daemon {daemon} ended while it started"));
        if began.elapsed() > BACK {
            return oracle.violated("nemesis", format!("daemon {daemon} does not come back"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Breaks lines until it is told to stop, and leaves all of them clear.
pub async fn break_lines(
    lines: Arc<Lines>,
    plan: WeatherPlan,
    oracle: Arc<Oracle>,
    mut stop: watch::Receiver<bool>,
) -> usize {
    let mut count = 0;
    for (calm, which, weather, lasts) in plan {
        let (name, proxy) = lines.pick(which);
        let over = async {
            sleep(calm).await;
            oracle.timeline.note("lines", format!("{name}: {weather:?} for {lasts:?}"));
            proxy.suffer(&weather);
            if !matches!(weather, Weather::Cut | Weather::HalfClose) {
                sleep(lasts).await;
            }
        };
        let stopped = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => true,
            () = over => false,
        };
        proxy.clear();
        oracle.timeline.note("lines", format!("{name}: clear"));
        if stopped {
            break;
        }
        count += 1;
    }
    count
}
