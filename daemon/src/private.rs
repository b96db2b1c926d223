//! Files that nobody but their owner reads: what the daemon keeps is people's health. And files that nobody else has written:
//! who can replace a key can be anybody. May be known everywhere.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// The mode bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// The mode bits by which others can read a file.
const READ_BY_OTHERS: u32 = 0o044;
/// The mode bit by which everybody can write.
const WRITTEN_BY_ALL: u32 = 0o002;
/// The mode bit that, in a folder where everybody may write, protects each one's files from the others.
const STICKY: u32 = 0o1000;
/// The mode of a file.
const FILE: u32 = 0o600;
/// The mode of a folder.
const FOLDER: u32 = 0o700;
/// The files of a database, by the ends of their names.
const BESIDE: [&str; 7] = ["", "-wal", "-shm", "-journal", ".life", ".life.new", ".lock"];

/// Makes every file of this process from now on its owner's alone, also those that a library makes.
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

/// Reads a file on which it depends whom the daemon believes.
///
/// # Errors
/// Those of the file system, and those of [`vouch_for`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    vouch(path, &file.metadata()?, &path.symlink_metadata()?)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text in the same way.
///
/// # Errors
/// As [`read`], and when it is not in UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Says why a file can't be read or made.
#[must_use]
pub fn why(error: &io::Error) -> String {
    let words = match error.kind() {
        // What is no answer of the system is in our words already.
        _ if error.raw_os_error().is_none() && error.kind() != ErrorKind::InvalidData => return error.to_string(),
        ErrorKind::NotFound => "there is no such file or folder",
        ErrorKind::PermissionDenied => "the daemon's user may not",
        ErrorKind::IsADirectory => "it is a folder, and no file",
        ErrorKind::NotADirectory => "what should be a folder on the way there is a file",
        ErrorKind::InvalidData => "it is no text in UTF-8",
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::ReadOnlyFilesystem => "the disk can only be read",
        _ => return error.to_string(),
    };
    words.into()
}

/// Looks at a file or folder, if there is one, that decides whose data this is.
///
/// # Errors
/// When everybody may write it, or when it is somebody else's and lies where everybody may put something. Says what to do.
pub fn vouch_for(path: &Path) -> io::Result<()> {
    let Some((led_to, itself)) = both(path)? else { return Ok(()) };
    vouch(path, &led_to, &itself)
}

/// The metadata of a path's target and of the path itself, where it is a link; none when there is nothing.
fn both(path: &Path) -> io::Result<Option<(Metadata, Metadata)>> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        itself => {
            let itself = itself?;
            Ok(Some((path.metadata().unwrap_or_else(|_| itself.clone()), itself)))
        }
    }
}

fn vouch(path: &Path, led_to: &Metadata, itself: &Metadata) -> io::Result<()> {
    let each_their_own = led_to.is_dir() && led_to.mode() & STICKY != 0;
    // A pipe or a terminal is what whoever started us has given.
    let is_kept = led_to.is_file() || led_to.is_dir();
    if is_kept && led_to.mode() & WRITTEN_BY_ALL != 0 && !each_their_own {
        let mode = led_to.mode() & 0o7777;
        return refused(format!(
            "everybody on this machine may write it (mode {mode:o}); look whether it is still as it was, and run `chmod o-w {}`",
            path.display()
        ));
    }
    vouch_for_giver(path, led_to, itself)
}

/// Refuses what somebody else may have put where it lies.
fn vouch_for_giver(path: &Path, led_to: &Metadata, itself: &Metadata) -> io::Result<()> {
    if !led_to.is_file() && !led_to.is_dir() {
        return Ok(());
    }
    let me = rustix::process::geteuid().as_raw();
    let stranger = [led_to.uid(), itself.uid()].into_iter().find(|owner| *owner != me && *owner != 0);
    let folder = folder_of(path);
    match stranger {
        Some(owner) if folder.metadata()?.mode() & WRITTEN_BY_ALL != 0 => refused(format!(
            "it belongs to user {owner}, and everybody on this machine may put something into {}; take it away from there, or \
             `chown` it when it is yours",
            folder.display()
        )),
        _ => Ok(()),
    }
}

fn refused(why: String) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Warns of a file with a secret that others can read.
pub fn warn_if_read_by_others(path: &Path) {
    if path.metadata().is_ok_and(|found| found.mode() & READ_BY_OTHERS != 0) {
        tracing::warn!("{0} holds a secret and can be read by others; run `chmod 600 {0}`", path.display());
    }
}

/// Closes the data directory and what is ours in it to others, where that is in our hands, and warns of the rest. An earlier
/// release left it open.
///
/// # Errors
/// Those of [`vouch_for`], of what is open then, with its path.
pub fn look_after(data_dir: &Path, database: Option<&Path>) -> io::Result<()> {
    let home = data_dir.canonicalize()?;
    let me = rustix::process::geteuid().as_raw();
    let ours = ours(&home, database);
    // Before anything is closed, which would hide who could have put it there.
    for path in ours.iter().map(PathBuf::as_path).chain([data_dir]) {
        if let Some((led_to, itself)) = both(path)? {
            vouch_for_giver(path, &led_to, &itself).map_err(|error| naming(path, &error))?;
        }
    }
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
    let folders = ours.iter().filter_map(|path| path.parent()).chain([data_dir]);
    folders.chain(ours.iter().map(PathBuf::as_path)).try_for_each(vouch_by_name)
}

/// The same as [`vouch_for`]; the error names the path.
fn vouch_by_name(path: &Path) -> io::Result<()> {
    vouch_for(path).map_err(|error| naming(path, &error))
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Looks at a database, what lies beside it and its folder, before somebody opens it.
///
/// # Errors
/// Those of [`vouch_for`], with the path.
pub fn vouch_for_database(database: &Path) -> io::Result<()> {
    let ours = named(database);
    ours.iter().map(PathBuf::as_path).chain([folder_of(database)]).try_for_each(vouch_by_name)
}

/// The database and what lies beside it.
fn named(database: &Path) -> [PathBuf; BESIDE.len()] {
    BESIDE.map(|end| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

/// The places of what is ours: the secret, and the database with what lies beside it. SQLite has its own files where a link leads to,
/// the daemon where it lies.
fn ours(home: &Path, database: Option<&Path>) -> Vec<PathBuf> {
    let folder = |path: &Path| folder_of(path).canonicalize().ok();
    let lies = database.and_then(|path| Some(folder(path)?.join(path.file_name()?)));
    let led_to = database.and_then(|path| path.canonicalize().ok());
    let places = lies.into_iter().chain(led_to).flat_map(|path| named(&path));
    let mut ours: Vec<PathBuf> = places.chain([home.join("secret"), home.join("served.json")]).collect();
    ours.sort();
    ours.dedup();
    ours
}

fn close(path: &Path, meta: &Metadata, is_in_our_hands: bool, mode: u32) {
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
