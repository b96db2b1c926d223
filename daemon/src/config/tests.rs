//! Every key is shown, every place is read, and what is wrong names itself.

use std::ffi::OsString;
use std::path::Path;

use super::*;

const SHOWN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/ryzed.toml"));

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn with_file(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here.toml");
    std::fs::write(&path, text).unwrap();
    let sources = Sources { file: Some(path), environment: environment(variables), ..Sources::default() };
    sources.load().map_err(|error| error.to_string())
}

fn with_environment(variables: &[(&str, &str)]) -> Result<Config, String> {
    Sources { environment: environment(variables), ..Sources::default() }.load().map_err(|error| error.to_string())
}

#[test]
fn the_shown_file_is_the_default() {
    assert_eq!(toml::from_str::<Config>(SHOWN).unwrap(), Config::default());
}

#[test]
fn the_shown_file_names_every_key() {
    let known = serde_json::to_value(Config::default()).unwrap();
    let mut shown = std::collections::BTreeSet::new();
    let mut section = String::new();
    for line in SHOWN.lines() {
        if let Some(name) = line.trim_start_matches("# ").strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if section.starts_with("tables.") {
            // Its keys are examples: the tables are the adapters'.
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            shown.insert(format!("{section}{key}"));
        }
    }
    let mut keys = std::collections::BTreeSet::new();
    for (name, value) in known.as_object().unwrap() {
        match value.as_object() {
            Some(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
            None => drop(keys.insert(name.clone())),
        }
    }
    assert_eq!(shown, keys);
}

#[test]
fn the_shown_examples_of_tables_are_good() {
    let (_, examples) = SHOWN.split_once("# [tables.").unwrap();
    let examples: String = examples.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let shown = format!("[database]\nurl = \"postgres://here\"\n[tables.{examples}");
    let config = with_file(&shown, &[]).unwrap();
    assert_eq!(config.tables["foods"].place("foods"), ("app".into(), "foods".into()));
    assert_eq!(config.tables["foods"].columns["user_id"], "created_by");
    assert!(config.tables["recipes"].skip);
    assert_eq!((config.future_hours("workout_sessions"), config.future_hours("foods")), (8760, 24));
}

#[test]
fn later_places_count_more() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\ndrain_seconds = 3\n[log]\nlevel = \"warn\"";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here.toml");
    std::fs::write(&path, file).unwrap();
    let config = Sources {
        file: Some(path),
        usual_files: false,
        environment: environment(&[("RYZED_SERVER__LISTEN", "127.0.0.1:2"), ("RYZED_LOG__LEVEL", "debug")]),
        flags: vec![Flag { name: "--listen", key: "server.listen", value: "127.0.0.1:3".into() }],
    }
    .load()
    .unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:3");
    assert_eq!(config.server.drain_seconds, 3);
    assert_eq!(config.log.level, "debug");
}

#[test]
fn the_environment_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(&path, "data_dir = \"/elsewhere\"").unwrap();
    let config = with_environment(&[("RYZED_CONFIG", path.to_str().unwrap()), ("RYZED_LOG", "trace")]).unwrap();
    assert_eq!(config.database_path(), Path::new("/elsewhere/ryzed.db"));
    assert!(with_environment(&[("RYZED_CONFIG", "/nowhere.toml")]).unwrap_err().contains("/nowhere.toml"));
}

#[test]
fn the_environment_is_read_as_its_key_wants_it() {
    let config = with_environment(&[
        ("RYZED_AUTH__SECRET", "12345678901234567890123456789012"),
        ("RYZED_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example:444"),
        ("RYZED_DEV__TEST_BROADCAST", "true"),
        ("RYZED_DATA_DIR", "/somewhere"),
        ("HOME", "/root"),
    ])
    .unwrap();
    assert_eq!(config.auth.secret.as_deref(), Some("12345678901234567890123456789012"));
    assert_eq!(config.server.allowed_origins, ["https://a.example", "https://b.example:444"]);
    assert!(config.dev.test_broadcast);
    assert_eq!(config.data_dir, Path::new("/somewhere"));
}

#[test]
fn what_is_wrong_in_the_file_names_itself_and_its_line() {
    for (text, line, words) in [
        ("[server]\n\nlisten = 5", 3, "server.listen"),
        ("[server]\nlisten = \"nowhere\"", 2, "server.listen"),
        ("[server]\nlisten = \"here:99999\"", 2, "server.listen"),
        ("[server]\nlisten = \"::1:80\"", 2, "server.listen"),
        ("[server]\nlisten = \"127.0.0.1:1\"\nlisen = \"127.0.0.1:1\"", 3, "lisen"),
        ("\n[sever]\n", 2, "sever"),
        ("data_dir = \"a\"\n[log\n", 2, ""),
        ("[log]\nformat = \"xml\"", 2, "log.format"),
        ("[sync]\ntombstone_days = -1", 2, "sync.tombstone_days"),
        ("[limits]\n\noutbox_bytes = 0", 3, "limits.outbox_bytes"),
        ("[database]\nurl = \"postgres://here/a\"\n[redis]\nurl = \"here\"", 4, "redis://"),
        ("[redis]\nprefix = \"a b\"", 2, "characters"),
        ("[database]\nreaders = 2\nconnections = 0", 3, "at least 1"),
        ("[database]\nurl = \"mysql://here\"", 2, "sqlite://"),
        ("[server]\nallowed_origins = [\"app.example.com\"]", 2, "no origin"),
        ("[auth]\nsecret = \"a\"\nsecret_file = \"b\"", 2, "auth.secret"),
        ("[tables.foods]\nskip = true", 1, "adopted PostgreSQL"),
        (
            "[database]\nurl = \"postgres://h\"\n[tables.foodz]\nskip = true",
            3,
            "no such table; the tables are users, foods",
        ),
        ("[database]\nurl = \"postgres://h\"\n[tables.foods]\ncolumns = { user = \"a\" }", 4, "no such column"),
        ("[database]\nurl = \"postgres://h\"\n[tables.foods]\ncolumns = { id = \"key\" }", 4, "the column id"),
        (
            "[database]\nurl = \"postgres://h\"\n[tables.foods]\ncolumns = { fats = \"a\", carbs = \"a\" }",
            4,
            "no other",
        ),
        ("[database]\nurl = \"postgres://h\"\n[tables.foods]\nrelation = \"a.b.c\"", 4, "<schema>.<table>"),
        ("[database]\nurl = \"postgres://h\"\n[tables.foods]\nrelations = \"a\"", 4, "relations"),
        ("[tables.foods]\nowner = \"user_id\"", 2, "give a table of your own another name"),
        ("[tables.foods.columns]\nfats = { type = \"text\" }", 1, "tables.foods.columns: the program has this table"),
        ("[tables.logs]\nhidden = [\"a\"]", 1, "[tables.logs.columns]"),
        ("[tables.logs]\nowner = \"me\"\ncolumns = { a = { type = \"text\" } }", 2, "tables.logs.owner: must be"),
        (
            "[tables.logs]\nowner = \"user_id\"\ncolumns = { a = \"b\" }",
            3,
            "tables.logs.columns.a: must say what it is",
        ),
        (
            "[tables.logs]\nowner = \"user_id\"\n[tables.logs.columns]\na = { type = \"int\" }",
            4,
            "columns.a.type: there is no type",
        ),
        (
            "[tables.logs]\nowner = \"user_id\"\n[tables.logs.columns.a]\ntype = \"text\"\nlenght = 1",
            3,
            "no key lenght",
        ),
        (
            "[tables.logs]\nowner = \"user_id\"\nskip = true\ncolumns = { a = { type = \"text\" } }",
            1,
            "adopted database",
        ),
        (
            "[tables.logs]\nowner = \"user_id\"\nhidden = [\"b\"]\ncolumns = { a = { type = \"text\" } }",
            3,
            "tables.logs.hidden",
        ),
    ] {
        let error = with_file(text, &[]).unwrap_err();
        assert!(error.contains(&format!("here.toml:{line}:")) && error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn no_parser_speaks_of_the_configuration_and_what_was_found_is_said() {
    for (text, words) in [
        ("a = ", "here.toml:1: a: is no TOML from character 5 on"),
        ("[log", "here.toml:1: is no TOML"),
        ("x = 1\nx = 2", "here.toml:2: stands there twice"),
        ("[auth]\nsecret = hunter2", "here.toml:2: secret: is no TOML"),
        ("[server]\nlisten = 1.5.3", "here.toml:2: listen: is no TOML"),
        ("x = 99999999999999999999", "here.toml:1:"),
        ("[limits]\nmessage_burst = 5000000000", "not too large, and is 5000000000"),
        ("[log]\nformat = \"xml\"", "must be \"text\" or \"json\", and is \"xml\""),
        ("[dev]\ntest_broadcast = \"maybe\"", "must be true or false, and is \"maybe\""),
        ("[server]\ntrusted_proxies = [\"bla\"]", "here.toml:2: server.trusted_proxies: \"bla\" is no address"),
        ("[server]\nlisten = \"nowhere\"", "and is \"nowhere\""),
        ("[auth]\nsecret = 12345", "must be a text, in quotes, and is something else"),
        ("[database]\nurl = \"mysql://me:hunter2@here\"", "and is mysql"),
        ("[database]\nurl = \"postgres://h\"\n[tables.foods]\nfuture_hours = -1", "and is -1"),
    ] {
        let error = with_file(text, &[]).unwrap_err();
        assert!(error.contains(words), "{text:?}: {error}");
        for theirs in ["expected", "invalid", "usize", "u32", "i128", "hunter2", "12345", "os error", "found `"] {
            assert!(!error.contains(theirs), "{text:?}: {error}");
        }
    }
    let error = with_environment(&[("RYZED_SYNC__LEASE_SECONDS", "soon")]).unwrap_err();
    assert!(error.contains("RYZED_SYNC__LEASE_SECONDS (sync.lease_seconds): must be a whole number"), "{error}");
    assert!(error.ends_with("and is \"soon\""), "{error}");
    let error = with_environment(&[("RYZED_CONFIG", "/nowhere.toml")]).unwrap_err();
    assert!(error.ends_with("/nowhere.toml: there is no such file or folder"), "{error}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = "data_dir = 5\nlisen = 1\n[server]\nlisten = \"nowhere\"\n[sever]\nlisten = 1\n[log]\nlevel = \"inof\"\nformat = \"xml\"\n\
                [sync]\nsweep_seconds = \"often\"\n[limits]\noutbox_bytes = 0\nmessage_bytes = -1\n[database]\nurl = \"postgres://me:a/b@/db\"\n[auth]\njwks_url = \"https://\"\n[redis]\nurl = \"redis://\"";
    let error = with_file(
        text,
        &[("RYZED_SERVER__LISEN", "1"), ("RYZED_SYNC__LEASE_SECONDS", "x"), ("RYZED_DEV__TEST_BROADCAST", "y")],
    );
    let error = error.unwrap_err();
    let faults: Vec<&str> = error.lines().collect();
    for (place, words) in [
        ("here.toml:1: data_dir", "a text"),
        ("here.toml:2: lisen", "no such key; there are auth, data_dir"),
        ("here.toml:4: server.listen", "127.0.0.1:8000"),
        ("here.toml:6: sever.listen", "no such key"),
        ("here.toml:8: log.level", "\"inof\""),
        ("here.toml:9: log.format", "\"text\" or \"json\""),
        ("here.toml:11: sync.sweep_seconds", "a whole number"),
        ("here.toml:13: limits.outbox_bytes", "at least 1"),
        ("here.toml:14: limits.message_bytes", "a whole number"),
        ("here.toml:16: database.url", "names no host"),
        ("here.toml:18: auth.jwks_url", "a host"),
        ("here.toml:20: redis.url", "host"),
        ("RYZED_SERVER__LISEN", "no such key"),
        ("RYZED_SYNC__LEASE_SECONDS", "a whole number"),
        ("RYZED_DEV__TEST_BROADCAST", "true or false"),
    ] {
        assert!(faults.iter().any(|fault| fault.contains(place) && fault.contains(words)), "{place} {words}: {error}");
    }
    assert_eq!(faults.len(), 15, "{error}");
    assert!(!error.contains("usize") && !error.contains("me:a"), "{error}");
}

#[test]
fn where_a_value_comes_from_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here.toml");
    std::fs::write(&path, "[sync]\n\ntombstone_days = 9\nsweep_seconds = 8\n").unwrap();
    let flags = vec![Flag { name: "--listen", key: "server.listen", value: "127.0.0.1:3".into() }];
    let environment = environment(&[("RYZED_SYNC__SWEEP_SECONDS", "7")]);
    let loaded = Sources { file: Some(path.clone()), usual_files: false, environment, flags }.look();
    assert_eq!((loaded.file.as_ref(), loaded.faults.len()), (Some(&path), 0));
    for (key, origin) in [
        ("sync.tombstone_days", format!("{}:3", path.display())),
        ("sync.sweep_seconds", "RYZED_SYNC__SWEEP_SECONDS".into()),
        ("server.listen", "--listen".into()),
        ("log.level", "default".into()),
    ] {
        assert_eq!(loaded.origin(key), origin);
    }
}

#[test]
fn a_key_works_under_its_former_name_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here.toml");
    std::fs::write(&path, "[server]\npatience_seconds = 9\n").unwrap();
    let of_file = Sources { file: Some(path.clone()), ..Sources::default() }.look();
    assert_eq!((of_file.faults.len(), of_file.config.server.hang_timeout_seconds), (0, 9));
    let told = format!("{}:2: server.patience_seconds: is called server.hang_timeout_seconds now", path.display());
    assert!(of_file.renamed[0].starts_with(&told), "{:?}", of_file.renamed);
    let environment = environment(&[("RYZED_SERVER__PATIENCE_SECONDS", "8")]);
    let of_environment = Sources { file: Some(path), usual_files: false, environment, flags: Vec::new() }.look();
    assert_eq!((of_environment.renamed.len(), of_environment.config.server.hang_timeout_seconds), (2, 8));
}

#[test]
fn what_is_wrong_elsewhere_names_itself() {
    for (name, value, words) in [
        ("RYZED_SERVER__LISEN", "1", "RYZED_SERVER__LISEN"),
        ("RYZED_server__listen", "1", "RYZED_server__listen"),
        ("RYZED_SERVER__LISTEN", "nowhere", "RYZED_SERVER__LISTEN"),
        ("RYZED_SYNC__TOMBSTONE_DAYS", "many", "RYZED_SYNC__TOMBSTONE_DAYS"),
        ("RYZED_LIMITS__OUTBOX_BYTES", "0", "RYZED_LIMITS__OUTBOX_BYTES"),
        ("RYZED_REDIS__URL", "here", "RYZED_REDIS__URL"),
    ] {
        let error = with_environment(&[(name, value)]).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let flag = Flag { name: "--log-format", key: "log.format", value: "xml".into() };
    let error = Sources { flags: vec![flag], ..Sources::default() }.load().unwrap_err().to_string();
    assert!(error.contains("--log-format"), "{error}");
}

#[test]
fn what_is_no_key_is_a_stranger_and_what_is_empty_is_none() {
    let variables =
        [("RYZED_BIN", "x"), ("RYZED_SERVER", "1"), ("RYZED_LOG", "warn"), ("RYZED_DATA_DIR", "here"), ("HOME", "/")];
    let sources = Sources { environment: environment(&variables), ..Sources::default() };
    assert_eq!(sources.load().unwrap().data_dir, Path::new("here"));
    assert_eq!(sources.strangers(), ["RYZED_BIN", "RYZED_SERVER"]);
    let config = with_environment(&[("RYZED_REDIS__URL", ""), ("RYZED_AUTH__ISSUER", "")]).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn one_listens_on_addresses_and_names() {
    for listen in ["0.0.0.0:0", "[::]:8000", "localhost:8000", "my-host.example:1"] {
        assert_eq!(with_environment(&[("RYZED_SERVER__LISTEN", listen)]).unwrap().server.listen, listen);
    }
}

#[test]
fn a_file_may_hold_where_redis_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis-url");
    std::fs::write(&path, "redis://me:hidden@cache:7000/2\n").unwrap();
    let file = ("RYZED_REDIS__URL_FILE", path.to_str().unwrap());
    let config = with_environment(&[("RYZED_DATABASE__URL", "postgres://here"), file]).unwrap();
    assert_eq!(config.redis_address().unwrap().unwrap().to_string(), "cache:7000");
    std::fs::remove_file(&path).unwrap();
    assert!(config.redis_address().unwrap_err().contains("redis.url_file"));
    let idle = with_environment(&[file]).unwrap();
    assert!(idle.redis_is_idle() && idle.redis_address().unwrap().is_none(), "with SQLite it is not even read");
}

#[test]
fn secrets_are_not_shown() {
    let mut config = Config::default();
    config.auth.secret = Some("hidden".into());
    for url in [
        "postgres://me:hidden@db.example/ryzed",
        "postgres://me:a/b?hidden@db.example/ryzed",
        "postgres://db.example/ryzed?sslmode=require&password=hidden",
    ] {
        config.database.url = Some(url.into());
        let shown = toml::to_string(&config.masked()).unwrap();
        assert!(!shown.contains("hidden") && shown.contains("db.example/ryzed"), "{shown}");
        assert!(!config.database_name().contains("hidden"));
    }
}
