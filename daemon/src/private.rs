//! Files that nobody but their owner reads: what the daemon keeps is people's health. May be known everywhere.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// What others may do with a file or folder.
const OTHERS: u32 = 0o077;
/// What the owner may do with a file.
const FILE: u32 = 0o600;
/// What the owner may do with a folder.
const FOLDER: u32 = 0o700;
/// What lies beside a database, by the ends of its names.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", ".life", ".life.new", ".lock"];

/// Whatever this process makes from now on is its owner's alone, also where a library makes it.
pub fn by_default() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS));
}

/// Opens a file to be read and written, which is made when it is missing.
///
/// # Errors
/// Those of the file system.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE).open(path)
}

/// Makes a file anew, or empties what was there.
///
/// # Errors
/// Those of the file system.
pub fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(file)
}

/// Makes a folder, and those above it, unless it is there.
///
/// # Errors
/// Those of the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Closes the data directory and what is ours in it to others, where that is in our hands, and warns of the rest. An earlier
/// release left it open.
pub fn look_after(data_dir: &Path, database: Option<&Path>) {
    let Ok(home) = data_dir.canonicalize() else { return };
    let me = rustix::process::geteuid().as_raw();
    let ours = ours(&home, database);
    for path in &ours {
        let (Ok(place), Ok(meta)) = (path.canonicalize(), path.metadata()) else { continue };
        if meta.is_file() && meta.mode() & OTHERS != 0 {
            close(path, &meta, place.starts_with(&home) && meta.uid() == me, FILE);
        }
    }
    let mut entries = fs::read_dir(&home).into_iter().flatten().flatten();
    let holds_others = entries.any(|entry| !ours.contains(&entry.path()));
    match home.metadata() {
        Ok(meta) if meta.mode() & OTHERS != 0 => close(&home, &meta, !holds_others && meta.uid() == me, FOLDER),
        _ => {}
    }
}

/// The places of what is ours: the secret, and the database with what lies beside it. SQLite has its own files where a link leads to,
/// the daemon where it lies.
fn ours(home: &Path, database: Option<&Path>) -> Vec<PathBuf> {
    let named = |path: PathBuf| {
        BESIDE.map(|end| {
            let mut name = path.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        })
    };
    let folder = |path: &Path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.canonicalize().ok(),
        _ => Path::new(".").canonicalize().ok(),
    };
    let lies = database.and_then(|path| Some(folder(path)?.join(path.file_name()?)));
    let led_to = database.and_then(|path| path.canonicalize().ok());
    let places = lies.into_iter().chain(led_to).flat_map(named);
    let mut ours: Vec<PathBuf> = places.chain([home.join("secret")]).collect();
    ours.sort();
    ours.dedup();
    ours
}

fn close(path: &Path, meta: &fs::Metadata, is_in_our_hands: bool, mode: u32) {
    let (was, path_shown) = (meta.mode() & 0o777, path.display());
    let closed = is_in_our_hands && fs::set_permissions(path, Permissions::from_mode(meta.mode() & mode)).is_ok();
    if closed {
        tracing::info!("{path_shown} is closed to others now; its mode was {was:o}");
    } else {
        tracing::warn!(
            "{path_shown} is open to others of this machine (mode {was:o}); run `chmod {mode:o} {path_shown}`"
        );
    }
}
