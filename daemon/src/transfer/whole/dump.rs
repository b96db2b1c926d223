//! From a database to lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Registry, format_time};

use super::{End, FORMAT, Header, Steps, TransferError, line, sealed_all_the_same};
use crate::store::archive::{Dump, Part};

/// A database that is being written.
pub(super) struct Dumping<'a> {
    pub dump: Box<dyn Dump>,
    pub registry: &'a Registry,
    pub now: DateTime<Utc>,
    pub seal: bool,
}

impl Dumping<'_> {
    /// Writes everything. The seal is put on before the last line: an archive that is whole is of a database that does not
    /// go on. Returns the records by part.
    pub(super) async fn write(
        mut self,
        to: &mut (dyn Write + Send),
        path: &Path,
    ) -> Result<BTreeMap<String, u64>, TransferError> {
        let fail = |source| TransferError::File { path: path.to_owned(), error: source };
        if self.seal {
            self.look().await?;
        }
        let (mut counts, mut records) = (BTreeMap::new(), 0);
        for part in Part::all(self.registry) {
            let count = self.dump.count(part).await?;
            counts.insert(part.name().to_owned(), count);
            records += count;
        }
        line::write(to, "ryzed", &self.header(records)).map_err(fail)?;
        let mut steps = Steps::new("exporting", records);
        for part in Part::all(self.registry) {
            self.dump.open(part).await?;
            loop {
                let page = self.dump.next().await?;
                if page.is_empty() {
                    break;
                }
                for record in &page {
                    line::write_record(to, part, record).map_err(fail)?;
                }
                steps.made(page.len() as u64);
            }
        }
        to.flush().map_err(fail)?;
        self.dump.finish().await?;
        let ended = line::write(to, "end", &End { counts: counts.clone() }).and_then(|()| to.flush()).map_err(fail);
        ended.map_err(|error| if self.seal { sealed_all_the_same(&error) } else { error })?;
        Ok(counts)
    }

    /// Refuses a database that contradicts itself: the other side would refuse it, when it is too late.
    async fn look(&mut self) -> Result<(), TransferError> {
        let found = self.dump.contradictions().await?;
        if found.is_empty() {
            return Ok(());
        }
        Err(TransferError::Content(format!("the database contradicts itself and was not sealed: {}", found.join("; "))))
    }

    fn header(&self, records: u64) -> Header {
        Header {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: format_time(self.now),
            epoch: self.dump.epoch().to_owned(),
            sealed: self.seal,
            records,
        }
    }
}
