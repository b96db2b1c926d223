//! `ryzed adopt`: a database that was there before, looked at, adopted, and left again.

mod report;

use anyhow::{Context, anyhow};
use clap::Args;
use ryzed_adapters::Registry;

use super::store::{self, failure, naming};
use super::{Failure, Outcome, check_tables, print};
use crate::config::Config;
use crate::progress::Progress;
use crate::store::postgres::adopt::{self, Adopted, AdoptionState, Entered, Inspection, Proof, Undone, Watch};

/// Sync the tables of a PostgreSQL database that an application has already.
///
/// Matches the tables that are there with those of `ryzed tables`, says for each what fits and what does not, and installs
/// what syncing needs: the schema ryzed, and triggers and policies on the tables. No column is added and no row is changed.
/// Before that it proves that people can use each table: a row is read, edited, made and deleted as one of them, and taken
/// back; what fails is not adopted. Sequences may have moved on.
/// Rows that are there are entered into the change index in small batches, while the application goes on. It can be broken
/// off at any time and run again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ryzed adopt --database-url postgres://me@db/app --dry-run   what fits, and change nothing
  ryzed adopt --database-url postgres://me@db/app             adopt it, or go on with it
  ryzed serve --database-url postgres://me@db/app             and serve it
  ryzed adopt --database-url postgres://me@db/app --undo      remove every trace

Where a table or a column has another name, the configuration says so:
  [tables.foods]
  relation = \"app.foods\"
  columns = { user_id = \"created_by\" }
  [tables.recipes]
  skip = true                             # leave it alone

Connect as the owner of the tables. Exit codes: 0 done, 1 failed on the way, 2 something does not fit.")]
pub(super) struct Options {
    /// Say what fits and what does not, and change nothing
    #[arg(long, conflicts_with = "undo")]
    dry_run: bool,
    /// Remove everything that adopting has made, open conflicts and revocations of devices too; what devices have not uploaded
    /// stays with them
    #[arg(long)]
    undo: bool,
    /// Take this table's rows for whose it says, although it is another table than before, or another column says so
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["undo", "dry_run"])]
    accept: Vec<String>,
}

const ENTERING: &str = "{bar:30} {human_pos}/{human_len} rows of {msg} ({eta} left)";

/// Progress of an adoption, for the person at the terminal.
struct Shown {
    progress: Progress,
    /// The table that was said to be done.
    done: String,
}

impl Shown {
    fn new() -> Self {
        Self { progress: Progress::new(ENTERING, Some(0)), done: String::new() }
    }
}

impl Watch for Shown {
    fn step(&mut self, what: &str) {
        self.progress.say(what);
    }

    fn entered(&mut self, table: &str, rows: u64, of: u64) {
        let line = || format!("{table}: {rows} of {of} rows entered");
        self.progress.of(of);
        if rows != of {
            self.progress.at(rows, table, line);
        } else if self.done != table {
            table.clone_into(&mut self.done);
            self.progress.show(rows, table);
            self.progress.line(line);
        }
    }
}

pub(super) fn run(config: &Config, options: &Options) -> Outcome {
    let Some(url) = &store::server_url(config)? else {
        return Err(Failure::Usage(anyhow!(
            "only a PostgreSQL database can be adopted: give --database-url postgres://<user>@<host>/<database> (database.url)"
        )));
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    runtime.block_on(async {
        if options.undo {
            return leave(config, url).await;
        }
        store::declares_none(config)?;
        let (adapters, naming) = (Registry::standard(), naming(config));
        check_tables(&adapters, "--accept", &options.accept)?;
        let inspection = adopt::inspect(url, &adapters, &naming).await.map_err(failure)?;
        if inspection.state == AdoptionState::Own {
            let message = "the tables of this database are the daemon's own: there is nothing to adopt, `ryzed serve` works on it";
            return Err(Failure::Usage(anyhow!(message)));
        }
        print(&report::text(&config.database_name(), &inspection))?;
        stopped(&inspection)?;
        if options.dry_run {
            let mut shown = Shown::new();
            let proofs = adopt::proven(url, &adapters, &naming, &mut shown).await;
            drop(shown);
            return tried(proofs.map_err(failure)?);
        }
        let mut shown = Shown::new();
        let accepted = options.accept.iter().cloned().collect();
        let adopted = adopt::adopt(url, &adapters, &naming, &accepted, &mut shown).await;
        drop(shown);
        match adopted.map_err(failure)? {
            Adopted::Complete { entered, proofs } => {
                print(&report::proven(&proofs))?;
                print(&report::grants(&proofs, false))?;
                print(&told(entered, &config.database_name()))
            }
            Adopted::Unproven { proofs, is_left, is_role_gone } => {
                print(&report::proven(&proofs))?;
                print(&report::grants(&proofs, is_role_gone))?;
                Err(unproven(is_left))
            }
        }
    })
}

/// Fails if something does not fit; the report has said what.
fn stopped(inspection: &Inspection) -> Outcome {
    if !inspection.examined.is_stopped() {
        return Ok(());
    }
    let message = if inspection.examined.layout.tables.is_empty() {
        "no table of this database can be synced; nothing was changed"
    } else {
        "not all of it fits, see the lines marked with ✗ above; nothing was changed"
    };
    Err(Failure::Usage(anyhow!(message)))
}

/// Account of what a dry run has tried, or why it tried nothing.
fn tried(proofs: Option<Vec<Proof>>) -> Outcome {
    let Some(proofs) = proofs else {
        return print(
            "Nothing was changed. Not proven: that people can read, edit, make and delete rows of these tables. For that, policies \
             have to stand; `ryzed adopt` puts them up, tries it, and removes them where it fails.\n",
        );
    };
    print(&report::proven(&proofs))?;
    print(&report::grants(&proofs, false))?;
    if proofs.iter().any(|proof| proof.problem().is_some()) {
        return Err(unproven(false));
    }
    print("\nNothing was changed, but for how far sequences have come.\n")
}

/// The failure after trials that did not succeed; the report has said why, table by table.
fn unproven(is_left: bool) -> Failure {
    let state = if is_left { "nothing is changed" } else { "what was adopted before stays as it is" };
    Failure::Usage(anyhow!("people could not use all of it, see the lines marked with ✗ above; {state}"))
}

fn told(entered: Entered, name: &str) -> String {
    let rows = match entered.rows {
        0 => "All rows were entered before.".to_owned(),
        rows => format!("{rows} rows entered; no scope was held for longer than {:.0} ms.", entered.longest_hold_ms),
    };
    format!("{rows}\n{name} is adopted: `ryzed serve` works on it.\n")
}

async fn leave(config: &Config, url: &str) -> Outcome {
    let mut shown = Shown::new();
    let undone = adopt::undo(url, &mut shown).await;
    drop(shown);
    let name = config.database_name();
    match undone.map_err(failure)? {
        Undone::Nothing => print(&format!("{name} was not adopted; nothing was changed\n")),
        Undone::Gone { kept } => {
            let kept: String = kept.iter().map(|what| format!("Left as it is: {what}\n")).collect();
            print(&format!("{kept}{name} is as if it had never been adopted\n"))
        }
    }
}
