//! `ryzed export`: everything of one owner as NDJSON, to stdout or whole into a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use tempfile::NamedTempFile;

use super::{ExportArgs, TransferError};
use crate::service::Service;
use crate::sync::Scope;

/// Does what `ryzed export` was asked for; says on stderr how many rows there were. Returns the exit code of the process.
///
/// # Errors
/// When it could not be done to its end. A file that was to be replaced is then as it was.
pub async fn export(service: &Arc<Service>, args: &ExportArgs) -> Result<u8, TransferError> {
    let scope = args.scope()?;
    let rows = match &args.output {
        Some(path) => to_file(service, scope, path).await?,
        None => match write(service, scope, &mut io::stdout(), Path::new("stdout")).await {
            // Who reads has seen enough, as `head` does.
            Err(TransferError::File { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            outcome => outcome?,
        },
    };
    aside!("{rows} rows of {scope} exported");
    Ok(0)
}

/// Writes beside the file first, so that it is never half an export.
async fn to_file(service: &Arc<Service>, scope: Scope, path: &Path) -> Result<u64, TransferError> {
    let mut file = beside(path)?;
    let rows = write(service, scope, file.as_file_mut(), path).await?;
    put(file, path)?;
    Ok(rows)
}

/// A new file in the folder of `path`.
pub(super) fn beside(path: &Path) -> Result<NamedTempFile, TransferError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder).map_err(|source| TransferError::File { path: path.to_owned(), error: source })
}

/// Puts a file that is complete in the place of what `path` was.
pub(super) fn put(file: NamedTempFile, path: &Path) -> Result<(), TransferError> {
    let fail = |source| TransferError::File { path: path.to_owned(), error: source };
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

async fn write(
    service: &Arc<Service>,
    scope: Scope,
    to: &mut (dyn Write + Send),
    path: &Path,
) -> Result<u64, TransferError> {
    let fail = |source| TransferError::File { path: PathBuf::from(path), error: source };
    let mut pages = service.export(scope);
    let mut rows = 0;
    while let Some(page) = pages.next().await {
        let page = page?;
        to.write_all(&page).map_err(fail)?;
        rows += page.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    to.flush().map_err(fail)?;
    Ok(rows)
}
