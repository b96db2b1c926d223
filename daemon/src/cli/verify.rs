//! `ryzed verify`: compares the change index with the tables, and mends it.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use clap::Args;

use super::store;
use super::{Failure, Outcome, check_tables, print};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::progress::Progress;
use crate::service::{Service, ServiceError, Verdict};
use crate::store::Stay;
use crate::store::compare::Difference;

const COUNTING: &str = "{spinner} {human_pos} rows of {msg}";

/// Hold the change index against the tables, and mend it.
///
/// Devices get what the index says. It is kept by triggers, and where those did not fire (a restore with --disable-triggers, a
/// table that an editor has rebuilt, triggers switched off), rows may be missing on devices, or deleted ones still there. This
/// compares every row with its entry, a batch at a time, while the daemon serves and everybody writes. With --repair, what
/// differs is entered as an ordinary change, so that all devices get it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ryzed verify                         look at all tables, and change nothing
  ryzed verify --repair                and mend what differs
  ryzed verify --table foods --repair  only these (may be repeated)

What can be the matter with a row:
  missing   it is there, and the index does not know it: no device has it
  buried    it is there, and the index has it as deleted
  extra     the index has it, and it is not there: devices keep it
  moved     the index has it as somebody else's than the table does
  changed   it was written while triggers are known to have been off; devices may have other values

What digests say is kept beside the index, and held against it as well. Where it is something else, devices take their copies for
damaged and pull them anew, in vain; it is counted anew.

Exit codes: 0 nothing differs, or all of it was mended; 1 failed on the way; 2 wrong use or configuration; 3 something differs
and was not mended.")]
pub(super) struct Options {
    /// Enter what differs into the index, as changes that all devices get
    #[arg(long)]
    repair: bool,
    /// Look at this table alone; may be repeated
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
}

pub(super) fn run(config: &Config, options: &Options) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    runtime.block_on(async {
        let opened = store::open(config, Stay::Visitor, Arc::new(|| ())).await?;
        check_tables(&opened.registry, "--table", &options.table)?;
        let keep = TimeDelta::days(config.sync.tombstone_days.into());
        let service = Service::new(opened.store, opened.registry, Arc::new(SystemClock), config.limits.clone(), keep);
        let outcome = verify(&service, options).await;
        service.close().await;
        outcome
    })
}

async fn verify(service: &Service, options: &Options) -> Outcome {
    let (mut differ, mut left) = (0, 0);
    let mut progress = Progress::new(COUNTING, None);
    let is_wanted = |name: &str| options.table.is_empty() || options.table.iter().any(|wanted| wanted == name);
    for table in service.registry.iter().filter(|table| is_wanted(table.name)) {
        let verdict = service.verify(table.name, options.repair, |rows| {
            progress.at(rows, table.name, || format!("{}: {rows} rows so far", table.name));
        });
        let verdict = verdict.await;
        let verdict = verdict.map_err(|error| failed(&format!("table {}", table.name), error))?;
        differ += usize::from(verdict.differ() > 0 || verdict.note.is_some());
        left += usize::from(!verdict.is_clean());
        progress.clear();
        print(&line(table.name, &verdict))?;
    }
    let digests = service.verify_digests(options.repair).await.map_err(|error| failed("sums of digests", error))?;
    for table in digests.iter().filter(|table| is_wanted(table)) {
        differ += 1;
        left += usize::from(!options.repair);
        let done = if options.repair { "; counted anew" } else { "" };
        print(&format!("{table:<28} digests say something else than the index{done}\n"))?;
    }
    progress.clear();
    match (differ, left) {
        (0, _) => print("The index says what the tables hold.\n"),
        (_, 0) => print("All of it was mended; devices get it as ordinary changes.\n"),
        _ if options.repair => Err(Failure::Differs(anyhow!(
            "{left} of the tables are not mended yet, see above: run it once more. Where triggers are missing, start the \
                 daemon again before (its own tables) or run `ryzed adopt` (an application's)"
        ))),
        _ => Err(Failure::Differs(anyhow!(
            "{left} of the tables differ from the index: `ryzed verify --repair` mends them"
        ))),
    }
}

fn failed(what: &str, error: ServiceError) -> Failure {
    anyhow::Error::new(error).context(format!("can't verify the {what}")).into()
}

/// The line about one table.
fn line(table: &str, verdict: &Verdict) -> String {
    let mut line = format!("{table:<28} {:>9} rows  ", verdict.rows);
    let counts = Difference::ALL.iter().filter_map(|kind| Some((kind, verdict.found.get(kind)?)));
    let counts: Vec<String> = counts.map(|(kind, rows)| format!("{rows} {}", kind.word())).collect();
    line += &if counts.is_empty() { "as in the index".to_owned() } else { counts.join(", ") };
    if verdict.mended > 0 {
        let _ = write!(line, "; {} mended", verdict.mended);
    }
    if let Some(note) = &verdict.note {
        let _ = write!(line, "; stopped or noted: {note}");
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_in_a_line() {
        let mut verdict = Verdict { rows: 12, ..Verdict::default() };
        assert!(line("foods", &verdict).ends_with("12 rows  as in the index\n") && verdict.is_clean());
        verdict.found = [(Difference::Extra, 1), (Difference::Missing, 2)].into();
        assert!(line("foods", &verdict).ends_with("2 missing, 1 extra\n") && !verdict.is_clean());
        verdict.mended = 3;
        assert!(line("foods", &verdict).ends_with("; 3 mended\n") && verdict.is_clean());
        verdict.note = Some("triggers were off".into());
        assert!(line("foods", &verdict).ends_with("noted: triggers were off\n") && !verdict.is_clean());
    }
}
