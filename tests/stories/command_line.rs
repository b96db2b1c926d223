//! The operator's commands, and the first start.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ryzed_tests::command::ryzed;
use ryzed_tests::foreground::Foreground;
use ryzed_tests::rows::TABLES;
use ryzed_tests::{Api, Daemon, Ran};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    ryzed(folder, &[], arguments)
}

#[tokio::test]
async fn token_prints_a_good_token_and_nothing_else() {
    let daemon = Daemon::start();
    let user = Uuid::new_v4().to_string();
    let stdout = Ran::of(&mut daemon.command(&["token", "--user", &user])).ok();
    let token = stdout.strip_suffix('\n').expect("a line");
    assert_eq!(token.split('.').count(), 3, "{stdout:?}");
    assert!(!token.contains(char::is_whitespace), "{stdout:?}");
    let answer = Api::new(&daemon.address(), Some(token.to_owned()))
        .post("/sync", &json!({"device_id": "phone", "tables": ["users"]}))
        .await
        .ok();
    assert_eq!(answer["changes"]["users"][0]["id"], user);
}

#[tokio::test]
async fn token_can_make_an_admin() {
    let daemon = Daemon::start();
    let user = Uuid::new_v4().to_string();
    for role in ["admin", "service_role"] {
        let token = Ran::of(&mut daemon.command(&["token", "--user", &user, "--role", role])).ok();
        Api::new(&daemon.address(), Some(token.trim().to_owned())).get("/active-users").await.ok();
    }
}

#[test]
fn wrong_use_ends_with_2_and_says_what_is_wrong() {
    let folder = folder();
    for (arguments, named) in [
        (&["fly"][..], "fly"),
        (&["token"], "--user"),
        (&["token", "--user", "bob"], "bob"),
        (&["token", "--user", "e076c2a5-1478-58a5-b583-298d951b62f5", "--role", "king"], "king"),
        (&["--fly"], "--fly"),
        (&["import"], "<FILE>"),
        (&["completions", "abacus"], "abacus"),
    ] {
        let ran = run(folder.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.said());
        assert!(ran.stderr.contains(named) && ran.stdout.is_empty(), "{arguments:?}: {}", ran.said());
    }
}

#[test]
fn what_is_wrong_is_said_once_and_in_words() {
    let folder = folder();
    let user = "7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";
    for (arguments, words) in [
        (&["token", "--user", "bob"][..], "must be a UUID"),
        (&["export", "--user", "bob"], "must be a UUID"),
        (&["import", "--user", "bob", "x.csv"], "must be a UUID"),
        (&["--config", "nowhere.toml", "serve"], "nowhere.toml"),
        (&["--data-dir", "there", "import", "nowhere.csv", "--table", "foods"], "nowhere.csv"),
        (&["--data-dir", "there", "export", "--user", user, "--output", "no/where.ndjson"], "no/where.ndjson"),
    ] {
        let daemon = folder.path().join("there/ryzed.db");
        if !daemon.exists() {
            let data = folder.path().join("there");
            let env = [("RYZED_DATA_DIR", data.to_str().expect("a path"))];
            drop(Foreground::start(folder.path(), &env));
        }
        let ran = run(folder.path(), arguments);
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.matches("os error").count() <= 1, "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("urn:uuid") && !ran.stderr.contains('`'), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_file_line_and_key() {
    for (text, line, key) in [
        ("[server]\nlisten = \"127.0.0.1:8000\"\nlisen = 1\n", 3, "lisen"),
        ("[sync]\n\ntombstone_days = \"many\"\n", 3, "tombstone_days"),
        ("[server]\nlisten = \"nowhere\"\n", 2, "listen"),
        ("# comment\n[severs]\n", 2, "severs"),
        ("[sync]\nheartbeat_seconds = 0\n", 2, "heartbeat_seconds"),
        ("data_dir = \"x\"\n[server\n", 2, ""),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("wrong.toml"), text).expect("a file");
        for command in ["check-config", "serve"] {
            let ran = run(folder.path(), &["--config", "wrong.toml", command]);
            assert_eq!(ran.code, 2, "{text}: {}", ran.said());
            let place = format!("wrong.toml:{line}");
            assert!(ran.stderr.contains(&place) && ran.stderr.contains(key), "{text}: {}", ran.said());
        }
        assert!(!folder.path().join("data").exists(), "nothing is made from a wrong configuration");
    }
}

#[test]
fn a_wrong_environment_ends_with_2_and_names_the_variable() {
    for (name, value) in [
        ("RYZED_SYNC__HEARTBEAT_SECONDS", "often"),
        ("RYZED_SERVER__LISTEN", "nowhere"),
        ("RYZED_SERVER__LISEN", "127.0.0.1:1"),
        ("RYZED_DEV__TEST_BROADCAST", "perhaps"),
    ] {
        let ran = ryzed(folder().path(), &[(name, value)], &["check-config"]);
        assert_eq!(ran.code, 2, "{name}: {}", ran.said());
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
    }
}

#[test]
fn what_others_call_by_our_name_is_passed_over_with_a_word() {
    let env = [("RYZED_BIN", "/usr/bin/ryzed"), ("RYZED_SERVICE_HOST", "10.0.0.1"), ("RYZED_TOKEN", "swordfish")];
    let ran = ryzed(folder().path(), &env, &["migrate", "--status"]);
    assert_eq!(ran.code, 0, "{}", ran.said());
    for (name, _) in env {
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
    }
    assert!(!ran.said().contains("swordfish"));
}

#[test]
fn an_empty_variable_is_none_and_a_switch_may_be_a_number() {
    let env = [("RYZED_REDIS__URL", ""), ("RYZED_DATABASE__URL", ""), ("RYZED_DEV__TEST_BROADCAST", "1")];
    let shown = ryzed(folder().path(), &env, &["check-config"]).ok();
    assert!(shown.contains("test_broadcast = true") && !shown.contains("url ="), "{shown}");
    let shown = ryzed(folder().path(), &[("RYZED_DEV__TEST_BROADCAST", "0")], &["check-config"]).ok();
    assert!(shown.contains("test_broadcast = false"), "{shown}");
}

#[tokio::test]
async fn a_name_is_an_address_to_listen_on_and_sqlite_leaves_redis_alone() {
    let builder = Daemon::builder().alone().env("RYZED_REDIS__URL", "redis://127.0.0.1:1");
    let daemon = builder.env("RYZED_DATABASE__URL", "sqlite://here.db").host("localhost").start();
    assert_eq!(Api::new(&daemon.address(), None).get("/health").await.ok()["bridge"], "none");
    assert!(daemon.log().contains("redis.url"), "{}", daemon.log());
}

#[test]
fn check_config_shows_what_counts_but_no_secret() {
    let folder = folder();
    std::fs::write(folder.path().join("good.toml"), "[server]\nlisten = \"127.0.0.1:8111\"\n").expect("a file");
    let env = [("RYZED_SYNC__TOMBSTONE_DAYS", "7"), ("RYZED_AUTH__SECRET", "swordfish-swordfish-swordfish-swordfish")];
    let ran = ryzed(folder.path(), &env, &["--config", "good.toml", "check-config"]);
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(ran.said().contains("127.0.0.1:8111") && ran.said().contains('7'), "{}", ran.said());
    assert!(!ran.said().contains("swordfish"));
}

#[test]
fn check_config_finds_all_that_is_wrong_in_one_go() {
    let folder = folder();
    let wrong = "[auth]\nsecret_file = \"/nowhere/secret\"\npublic_key_file = \"/nowhere/key.pem\"\njwks_file = \"ryzed.toml\"\n\
                 jwks_url = \"https://\"\n[database]\nurl = \"postgres://\"\npassword_file = \"/nowhere/password\"\n\
                 [redis]\nurl_file = \"/nowhere/redis\"\n[server]\nlisen = 1\n[log]\nlevel = \"inof\"\n";
    std::fs::write(folder.path().join("ryzed.toml"), wrong).expect("a file");
    let ran = ryzed(folder.path(), &[("RYZED_LOG", "loud"), ("RYZED_SYNC__LEASE_SECONDS", "0")], &["check-config"]);
    assert_eq!(ran.code, 2, "{}", ran.said());
    for (place, word) in [
        ("ryzed.toml:2", "/nowhere/secret"),
        ("ryzed.toml:3", "/nowhere/key.pem"),
        ("ryzed.toml:4", "auth.jwks_file"),
        ("ryzed.toml:5", "auth.jwks_url"),
        ("ryzed.toml:7", "names no host"),
        ("ryzed.toml:8", "/nowhere/password"),
        ("ryzed.toml:10", "/nowhere/redis"),
        ("ryzed.toml:12", "lisen"),
        ("ryzed.toml:14", "inof"),
        ("RYZED_LOG", "loud"),
        ("RYZED_SYNC__LEASE_SECONDS", "at least 1"),
    ] {
        let is_told = ran.stderr.lines().any(|line| line.contains(place) && line.contains(word));
        assert!(is_told, "{place} {word}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("os error 2): No such"), "{}", ran.stderr);
}

#[test]
fn check_config_says_which_file_was_read_and_where_each_value_comes_from() {
    let folder = folder();
    std::fs::write(folder.path().join("mine.toml"), "[sync]\ntombstone_days = 9\n").expect("a file");
    let arguments = ["--config", "mine.toml", "--listen", "127.0.0.1:8123", "check-config"];
    let shown = ryzed(folder.path(), &[("RYZED_SYNC__SWEEP_SECONDS", "7")], &arguments).ok();
    for line in [
        "# The file that was read: mine.toml",
        "tombstone_days = 9  # mine.toml:2",
        "sweep_seconds = 7  # RYZED_SYNC__SWEEP_SECONDS",
        "listen = \"127.0.0.1:8123\"  # --listen",
        "heartbeat_seconds = 30  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is missing:\n{shown}");
    }
    let none = run(folder.path(), &["check-config"]).ok();
    assert!(none.starts_with("# No file was read"), "{none}");
}

#[test]
fn the_given_configuration_is_one_that_works() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/ryzed.toml");
    let ran = run(folder().path(), &["--config", file.to_str().expect("a path"), "check-config"]);
    assert_eq!(ran.code, 0, "{}", ran.said());
}

#[test]
fn tables_lists_all_of_them() {
    let listed = run(folder().path(), &["tables"]).ok();
    for table in TABLES {
        assert!(listed.contains(table), "{table} is missing:\n{listed}");
    }
}

#[tokio::test]
async fn migrate_status_tells_what_is_pending() {
    let folder = folder();
    let before = run(folder.path(), &["migrate", "--status"]).ok();
    assert!(before.contains("pending") && !before.contains("applied"), "{before}");
    assert_eq!(Foreground::start(folder.path(), &[]).stop().await, 0);
    let after = run(folder.path(), &["migrate", "--status"]).ok();
    assert!(after.contains("applied") && !after.contains("pending"), "{after}");
    run(folder.path(), &["migrate"]).ok();
}

#[test]
fn a_reader_who_has_seen_enough_of_a_completion_is_no_failure() {
    let folder = folder();
    let mut command = ryzed_tests::command::command(folder.path(), &[], &["completions", "bash"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("it starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(folder().path(), &["completions", shell]).ok();
        assert!(script.contains("ryzed") && script.contains("check-config"), "{shell}: {script:.200}");
    }
}

#[test]
fn help_names_every_command_and_gives_examples() {
    let help = run(folder().path(), &["--help"]).ok();
    for command in ["serve", "migrate", "adopt", "token", "tables", "check-config", "import", "export", "completions"] {
        assert!(help.contains(command), "{command} is missing:\n{help}");
        let more = run(folder().path(), &[command, "--help"]).ok();
        assert!(more.contains("Usage"), "{command}: {more}");
    }
    assert!(help.contains("ryzed token --user"), "no example:\n{help}");
    assert!(run(folder().path(), &["--version"]).ok().contains("ryzed"));
}

#[tokio::test]
async fn the_first_start_makes_a_secret_a_database_and_a_catalogue() {
    let mut daemon = Daemon::builder().without("RYZED_AUTH__SECRET").start();
    let secret = daemon.folder().join("data/secret");
    let mode = secret.metadata().expect("the secret").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let made = std::fs::read_to_string(&secret).expect("the secret");
    assert!(made.trim().len() >= 32, "it is short");
    assert!(!daemon.log().contains(made.trim()), "it was printed");

    let greeting = daemon.log();
    for part in [daemon.address().as_str(), "curl", "ryzed token --user", "/demo"] {
        assert!(greeting.contains(part), "{part} is missing from the greeting:\n{greeting}");
    }

    let user = Uuid::new_v4().to_string();
    let token = Ran::of(&mut daemon.command(&["token", "--user", &user])).ok();
    let api = Api::new(&daemon.address(), Some(token.trim().to_owned()));
    let answer = api.post("/sync", &json!({"device_id": "phone"})).await.ok();
    let count = |table: &str| answer["changes"][table].as_array().map_or(0, Vec::len);
    for (table, least) in [
        ("exercises", 55),
        ("foods", 55),
        ("hiit_workouts", 8),
        ("cardio_activities", 10),
        ("workout_templates", 5),
        ("workout_template_exercises", 15),
    ] {
        assert!(count(table) >= least, "{table}: {}", count(table));
    }

    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    daemon.restart();
    assert_eq!(std::fs::read_to_string(&secret).expect("the secret"), made, "a second start keeps the secret");
    let api = Api::new(&daemon.address(), Some(token.trim().to_owned()));
    let again = api.post("/sync", &json!({"device_id": "phone", "cursor": answer["cursor"]})).await.ok();
    assert_eq!(again["total_changes"], 0, "a second start loads nothing twice: {again}");
}

#[tokio::test]
async fn the_demo_is_there() {
    let daemon = crate::shared();
    let answer = Api::new(&daemon.address(), None).get("//demo").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/html"), "{:?}", answer.headers);
}
