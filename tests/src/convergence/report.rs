//! The report of a run that failed: the violations, the seed, a timeline, and the daemons' logs.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use super::Options;
use super::oracle::Oracle;
use super::world::Processes;

/// Characters of the violations that are printed; all of it is in the file.
const PRINTED: usize = 3000;
/// Lines of the timeline that are printed: the last ones.
const LINES: usize = 60;

/// Writes the report, and prints its beginning; nothing when all was well.
///
/// # Errors
/// When it can't be written.
pub fn write(options: &Options, oracle: &Oracle, processes: &mut Processes) -> anyhow::Result<Option<PathBuf>> {
    let violations = oracle.violations();
    if violations.is_empty() {
        return Ok(None);
    }
    let folder = options.reports.join(format!("seed-{}", options.seed));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut text = format!("seed {}: {options:?}\n\n", options.seed);
    for violation in &violations {
        writeln!(text, "{}: {}\n", violation.actor, violation.what)?;
    }
    eprintln!("{}", text.chars().take(PRINTED).collect::<String>());
    let concerned = |actor: &str| violations.iter().take(3).any(|violation| violation.actor == actor);
    let common = |actor: &str| actor == "nemesis" || actor == "lines" || actor == "verdict";
    writeln!(text, "What was broken, and what the devices concerned said last:\n")?;
    let timeline = oracle.timeline.of(|actor| common(actor) || concerned(actor));
    let lines = timeline.lines().count();
    eprintln!("The last of {lines} lines of the timeline; more in {}:", folder.display());
    timeline.lines().skip(lines.saturating_sub(LINES)).for_each(|line| eprintln!("{line}"));
    text += &timeline;
    std::fs::write(folder.join("report.txt"), text)?;
    std::fs::write(folder.join("everybody.txt"), oracle.timeline.of(|_| true))?;
    for (number, daemon) in processes.daemons.iter().enumerate() {
        std::fs::write(folder.join(format!("daemon-{number}.log")), daemon.log())?;
    }
    Ok(Some(folder))
}
