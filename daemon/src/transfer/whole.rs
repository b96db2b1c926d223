//! A whole database as one file: `ryzed export --all`, `ryzed import --all`.
//!
//! NDJSON: a header, the records part by part (`{"scope":{…}}`, `{"table":…,"row":{…}}`, `{"change":{…}}`, `{"receipt":{…}}`,
//! `{"device":{…}}`, `{"conflict":{…}}`), and a last line with their counts, by which a file that was cut off is known.
//! Neither service nor rules of conflict have a part in it: everything goes as it is.

mod dump;
mod line;
mod restore;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use ryzed_adapters::Registry;
use serde::{Deserialize, Serialize};

use super::progress::Steps;
use super::source::Input;
use super::{ExportArgs, ImportArgs, TransferError, export, starter};
use crate::clock::Clock;
use crate::store::archive::{Dump, Restore};
use dump::Dumping;
use restore::Restoring;

/// The form of the file that this release writes and reads.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// The release that wrote it.
    version: String,
    made_at: String,
    /// The epoch of the database.
    epoch: String,
    /// True if the database was sealed, so that its epoch may go on elsewhere.
    sealed: bool,
    /// Lines between the first and the last.
    records: u64,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// Records by part.
    counts: BTreeMap<String, u64>,
}

/// Writes a whole database to stdout or into a file; says on stderr what there was. Returns the exit code of the process.
///
/// # Errors
/// When it could not be done to its end. The database is then as it was, unless the error says that it is sealed.
pub async fn export_all(
    dump: Box<dyn Dump>,
    registry: &Registry,
    clock: &dyn Clock,
    args: &ExportArgs,
) -> Result<u8, TransferError> {
    let dumping = Dumping { dump, registry, now: clock.now(), seal: args.seal };
    let counts = match &args.output {
        Some(path) => {
            let mut file = export::beside(path)?;
            let counts = dumping.write(&mut BufWriter::new(file.as_file_mut()), path).await?;
            export::put(file, path).map_err(|error| if args.seal { sealed_all_the_same(&error) } else { error })?;
            counts
        }
        None => dumping.write(&mut BufWriter::new(io::stdout()), Path::new("stdout")).await?,
    };
    aside!("{} exported", in_words(&counts));
    if args.seal {
        aside!("the database is sealed: no daemon starts on it any more (`ryzed export --unseal` takes the seal off)");
    }
    Ok(0)
}

/// Fills a database from an archive; prints what there was. Returns the exit code of the process.
///
/// # Errors
/// When it could not be done to its end. The database is then as it was.
pub async fn import_all(
    mut restore: Box<dyn Restore>,
    registry: &Arc<Registry>,
    args: &ImportArgs,
) -> Result<u8, TransferError> {
    if restore.is_occupied(&starter::ids()?).await? {
        return Err(TransferError::Usage(
            "the database is not empty: a whole one can only be imported where there are no people and no catalogue but the \
             starter's. Name a new one with --database-url"
                .into(),
        ));
    }
    let input = Input::open(&args.file)?;
    let (header, counts) = Restoring::new(restore, registry).read(input).await?;
    let life = if header.sealed {
        "devices go on where they were"
    } else {
        "the archive was made without --seal, so a new life begins: devices start over, and keep what they have not uploaded"
    };
    // Nobody has to read it.
    let _ = writeln!(io::stdout(), "{} imported; {life}", in_words(&counts));
    Ok(0)
}

fn in_words(counts: &BTreeMap<String, u64>) -> String {
    let of = |part: &str| counts.get(part).copied().unwrap_or(0);
    let sidecar = ["scopes", "changes", "receipts", "devices", "conflicts"];
    let rows: u64 = counts.iter().filter(|(part, _)| !sidecar.contains(&part.as_str())).map(|(_, count)| count).sum();
    format!(
        "{rows} rows of {} people with {} entries of the change index, {} receipts, {} devices and {} open conflicts",
        of("users"),
        of("changes"),
        of("receipts"),
        of("devices"),
        of("conflicts")
    )
}

fn sealed_all_the_same(error: &TransferError) -> TransferError {
    TransferError::Content(format!("{error}. The database is sealed all the same; run the export again"))
}
