//! A neighbour on the machine puts something where the daemon looks, or may have: it is not believed, and the daemon says what to do.
//! Who can put a key there could be anybody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use ryzed_tests::command::{command, ryzed};
use ryzed_tests::{Daemon, Ran, SECRET};
use tempfile::TempDir;

use crate::two_daemons::ends;

const USER: &str = "7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11";
/// Somebody else.
const NEIGHBOUR: u32 = 65_534;
/// Nothing is served there; only what must end at once is asked to serve.
const NOWHERE: (&str, &str) = ("RYZED_SERVER__LISTEN", "127.0.0.1:2");

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A file that everybody may write.
fn open_file(folder: &Path, content: &str) -> PathBuf {
    let path = folder.join("open");
    fs::write(&path, content).expect("a file");
    set_mode(&path, 0o666);
    path
}

fn is_refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.said());
    for word in words {
        assert!(ran.stderr.contains(word), "{word} is not in: {}", ran.stderr);
    }
}

/// Only root can give files away.
fn is_given_away(path: &Path) -> bool {
    chown(path, Some(NEIGHBOUR), None).is_ok()
}

#[test]
fn a_folder_that_everybody_writes_is_not_taken() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    // Closed at the start, but for what else is kept there.
    fs::write(data.join("notes.txt"), "").expect("a file");
    set_mode(&data, 0o777);
    for arguments in [&["serve"][..], &["migrate"], &["import", "rows.csv", "--table", "foods"]] {
        is_refused(&ends(command(folder.path(), &[NOWHERE], arguments)), &["chmod o-w", "data"]);
    }
    assert_eq!(fs::read_dir(&data).expect("a folder").count(), 1, "something was made there");

    let open = folder.path().join("elsewhere");
    fs::create_dir(&open).expect("a folder");
    set_mode(&open, 0o777);
    set_mode(&data, 0o700);
    let url = format!("sqlite://{}", open.join("kept.db").display());
    for arguments in [&["serve"][..], &["migrate"]] {
        let ran = ends(command(folder.path(), &[NOWHERE, ("RYZED_DATABASE__URL", &url)], arguments));
        is_refused(&ran, &["chmod o-w", "elsewhere"]);
    }
}

#[test]
fn what_a_neighbour_has_left_where_everybody_may_is_not_taken() {
    let folder = folder();
    set_mode(folder.path(), 0o1777);
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    if !is_given_away(&data) {
        return;
    }
    is_refused(&ends(command(folder.path(), &[NOWHERE], &["serve"])), &["65534", "data"]);
    fs::remove_dir(&data).expect("it goes");

    fs::write(folder.path().join("ryzed.toml"), format!("[auth]\nsecret = \"{SECRET}\"\n")).expect("a file");
    assert!(is_given_away(&folder.path().join("ryzed.toml")));
    for arguments in [&["serve"][..], &["token", "--user", USER], &["check-config"]] {
        is_refused(&ends(command(folder.path(), &[NOWHERE], arguments)), &["65534", "ryzed.toml"]);
    }
    fs::remove_file(folder.path().join("ryzed.toml")).expect("it goes");

    // In a folder of ours where each has their own.
    fs::create_dir(&data).expect("a folder");
    set_mode(&data, 0o1777);
    for name in ["secret", "ryzed.db", "ryzed.db-wal", "ryzed.db-journal", "ryzed.db.life"] {
        let planted = data.join(name);
        fs::write(&planted, SECRET).expect("a file");
        assert!(is_given_away(&planted));
        is_refused(&ends(command(folder.path(), &[NOWHERE], &["serve"])), &["65534", name]);
        assert_eq!(fs::read_to_string(&planted).expect("it is left"), SECRET);
        fs::remove_file(&planted).expect("it goes");
    }
    fs::write(data.join("secret"), SECRET).expect("a file");
    assert!(is_given_away(&data.join("secret")));
    is_refused(&ryzed(folder.path(), &[], &["token", "--user", USER]), &["65534", "secret"]);
}

#[test]
fn a_key_that_everybody_writes_is_not_believed() {
    let folder = folder();
    let path = open_file(folder.path(), SECRET);
    let path = path.to_str().expect("a path");
    let on_server =
        [("RYZED_DATABASE__URL", "postgres://ryzed@127.0.0.1:1/ryzed"), ("RYZED_DATABASE__WAIT_SECONDS", "0")];
    for (name, beside) in [
        ("RYZED_AUTH__SECRET_FILE", &[][..]),
        ("RYZED_AUTH__PUBLIC_KEY_FILE", &[]),
        ("RYZED_AUTH__JWKS_FILE", &[]),
        ("RYZED_CONFIG", &[]),
        ("RYZED_DATABASE__PASSWORD_FILE", &on_server),
        ("RYZED_REDIS__URL_FILE", &on_server),
    ] {
        let env: Vec<_> = [NOWHERE, (name, path)].into_iter().chain(beside.iter().copied()).collect();
        is_refused(&ends(command(folder.path(), &env, &["serve"])), &["chmod o-w", path]);
    }
    let url = format!("postgres://127.0.0.1:1/ryzed?sslmode=verify-full&sslrootcert={path}");
    let ran = ends(command(folder.path(), &[NOWHERE, ("RYZED_DATABASE__URL", &url)], &["serve"]));
    is_refused(&ran, &["chmod o-w", path]);
}

#[tokio::test]
async fn a_secret_as_clusters_hand_it_out_is_taken() {
    let folder = folder();
    // Links in a folder where everybody may write, each their own: the mount of a Kubernetes secret.
    set_mode(folder.path(), 0o1777);
    fs::create_dir(folder.path().join("..2026")).expect("a folder");
    fs::write(folder.path().join("..2026/secret"), SECRET).expect("a file");
    set_mode(&folder.path().join("..2026/secret"), 0o644);
    symlink("..2026", folder.path().join("..data")).expect("a link");
    symlink("..data/secret", folder.path().join("secret")).expect("a link");
    let builder = Daemon::builder().alone().without("RYZED_AUTH__SECRET");
    let daemon = builder.env("RYZED_AUTH__SECRET_FILE", folder.path().join("secret").display()).start();
    daemon.account().api.get("/changes").await.done();
    let log = daemon.log();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("can be read by others")), "{log}");
}

#[test]
fn a_file_with_a_secret_that_others_read_is_warned_of() {
    let folder = folder();
    let file = folder.path().join("ryzed.toml");
    for (text, is_secret) in [
        (format!("[auth]\nsecret = \"{SECRET}\"\n"), true),
        ("[database]\nurl = \"postgres://me:q~1@127.0.0.1:1/x\"\nwait_seconds = 0\n".to_owned(), true),
        ("[database]\nurl = \"postgres://127.0.0.1:1/x?password=q~1\"\nwait_seconds = 0\n".to_owned(), true),
        ("[database]\nurl = \"postgres://me@127.0.0.1:1/x\"\nwait_seconds = 0\n".to_owned(), false),
    ] {
        fs::write(&file, &text).expect("a file");
        for mode in [0o644, 0o600] {
            set_mode(&file, mode);
            let on_server = ("RYZED_DATABASE__URL", "postgres://127.0.0.1:1/x");
            let env = [NOWHERE, on_server, ("RYZED_DATABASE__WAIT_SECONDS", "0")];
            let ran = ends(command(folder.path(), &env, &["serve"]));
            let is_told = ran.stderr.contains("ryzed.toml holds a secret");
            assert_eq!(is_told, is_secret && mode == 0o644, "{text} {mode:o}: {}", ran.said());
            assert!(!ran.said().contains("q~1"), "{}", ran.said());
        }
    }
}

#[test]
fn a_password_in_the_list_of_processes_is_warned_of() {
    let folder = folder();
    for (url, is_told) in [
        ("postgres://me:q~1@127.0.0.1:1/x", true),
        ("postgres://127.0.0.1:1/x?user=me&password=q~1", true),
        ("postgres://me@127.0.0.1:1/x", false),
        ("sqlite://a@b:c.db", false),
    ] {
        let ran = ryzed(folder.path(), &[], &["--database-url", url, "check-config"]);
        assert_eq!(ran.code, 0, "{}", ran.said());
        let warned = ran.stderr.contains("--database-url") && ran.stderr.contains("database.password_file");
        assert_eq!(warned, is_told, "{url}: {}", ran.said());
        assert!(!ran.said().contains("q~1"), "{}", ran.said());
    }
}
