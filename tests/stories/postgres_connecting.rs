//! Connections of the daemon to its PostgreSQL server: encrypted as the URL asks, with a password that nobody sees, and
//! with patience when the server is not there yet.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ryzed_tests::certificates::Authority;
use ryzed_tests::command::ryzed;
use ryzed_tests::postgres::{self, Cluster, psql};
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Ran};
use serde_json::json;

/// A server with a certificate for `localhost`, and the authority that has signed it.
struct Guarded {
    cluster: Cluster,
    authority: Authority,
}

static GUARDED: LazyLock<Guarded> = LazyLock::new(Guarded::start);

/// The password of the role `app`, with what a URL would have to escape.
const PASSWORD: &str = "s3cr%t/ +pa&ss";

impl Guarded {
    fn start() -> Self {
        let (cluster, authority) = (Cluster::start(), Authority::default());
        let (certificate, key) = authority.sign();
        let read = |path| std::fs::read(path).expect("what was made");
        let (certificate, key) = (cluster.put("story.pem", &read(certificate)), cluster.put("story.key", &read(key)));
        let app =
            format!("SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
        psql(&cluster.url("postgres"), &app).expect("a role");
        let _ = cluster.put(
            "pg_hba.conf",
            b"local all postgres trust\nhost all postgres all trust\nhostssl all app all scram-sha-256\n",
        );
        let files =
            [format!("ssl_cert_file = '{}'", certificate.display()), format!("ssl_key_file = '{}'", key.display())];
        cluster.set(&[files[0].as_str(), files[1].as_str(), "ssl = on"]);
        Self { cluster, authority }
    }

    /// A new database, reached under the name that the certificate has.
    fn database(&self, query: &str) -> String {
        self.cluster.new_database().replace("127.0.0.1", "localhost") + query
    }
}

/// The result of a start that must not succeed.
fn refused(env: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = vec![("RYZED_SERVER__LISTEN", "127.0.0.1:0")];
    all.extend(env);
    let begun = Instant::now();
    let ran = ryzed(folder.path(), &all, &["serve"]);
    assert_ne!(ran.code, 0, "{}", ran.said());
    assert!(begun.elapsed() < Duration::from_secs(15), "it waited {:?} for what never comes", begun.elapsed());
    assert!(!ran.said().contains(PASSWORD) && !ran.said().contains("hidden"), "the password was said: {}", ran.said());
    ran
}

/// Starts away from the runtime, which a proxy or a clock of the story needs.
async fn start(url: String, env: &[(&str, String)]) -> Daemon {
    let builder = Daemon::builder().env("RYZED_DATABASE__URL", url);
    let builder = env.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
    tokio::task::spawn_blocking(|| builder.start()).await.expect("a daemon")
}

#[tokio::test]
async fn the_connection_is_encrypted_as_the_url_asks() {
    let authority = GUARDED.authority.pem().display().to_string();
    for (query, is_encrypted) in [
        (String::new(), true),
        ("?sslmode=prefer".into(), true),
        ("?sslmode=disable".into(), false),
        ("?sslmode=require".into(), true),
        (format!("?sslmode=require&sslrootcert={authority}"), true),
        (format!("?sslmode=verify-ca&sslrootcert={authority}"), true),
        (format!("?sslrootcert={authority}&application_name=x&sslmode=verify-full"), true),
    ] {
        let url = GUARDED.database(&query);
        let daemon = start(url.clone(), &[]).await;
        daemon.account().store("food_entries", &food_entry(json!({}))).await;
        let asked = "SELECT bool_and(s.ssl), bool_or(s.ssl), count(*) > 1 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
            WHERE a.datname = current_database() AND a.application_name = 'ryzed'";
        let plain = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
        let flag = if is_encrypted { "t" } else { "f" };
        assert_eq!(psql(plain, asked).expect("an answer"), format!("{flag}|{flag}|t"), "{query}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_believed_ends_the_start() {
    let (other, right) = (Authority::default(), GUARDED.authority.pem());
    let (other, right) = (other.pem().display().to_string(), right.display().to_string());
    let url = GUARDED.database("");
    let by_number = url.replace("localhost", "127.0.0.1");
    for (url, code, word) in [
        (format!("{url}?sslmode=verify-full&sslrootcert={other}"), 1, "certificate"),
        (format!("{url}?sslmode=verify-ca&sslrootcert={other}"), 1, "certificate"),
        (format!("{url}?sslmode=require&sslrootcert={other}"), 1, "certificate"),
        (format!("{url}?sslmode=verify-full"), 1, "certificate"),
        (format!("{by_number}?sslmode=verify-full&sslrootcert={right}"), 1, "certificate"),
        (format!("{url}?sslmode=verify-full&sslrootcert=/nowhere.pem"), 2, "/nowhere.pem"),
        (format!("{url}?sslmode=sometimes"), 2, "verify-full"),
        (format!("{}?sslmode=require", postgres::new_database()), 1, "TLS"),
    ] {
        let ran = refused(&[("RYZED_DATABASE__URL", &url)]);
        assert_eq!(ran.code, code, "{url}: {}", ran.said());
        assert!(ran.stderr.contains(word) && ran.stderr.contains("database.url"), "{url}: {}", ran.said());
    }
    // Whose name is another is good enough for who does not ask for the name.
    let daemon = start(format!("{by_number}?sslmode=verify-ca&sslrootcert={right}"), &[]).await;
    daemon.account().push([]).await;
}

#[tokio::test]
async fn the_password_comes_from_a_file_and_is_never_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let file = file.display().to_string();
    let url = GUARDED.database("?sslmode=require").replace("postgres@", "app@");
    let mut daemon =
        start(url.clone(), &[("RYZED_DATABASE__PASSWORD_FILE", file.clone()), ("RYZED_LOG__LEVEL", "debug".into())])
            .await;
    daemon.account().store("food_entries", &food_entry(json!({}))).await;
    for command in [&["migrate", "--status"][..], &["check-config"]] {
        let said = Ran::of(&mut daemon.command(command)).ok();
        assert!(!said.contains(PASSWORD), "{said}");
    }
    daemon.terminate();
    daemon.exit_code().await;
    assert!(!daemon.log().contains(PASSWORD), "{}", daemon.log());

    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "hidden").expect("a file");
    let ran =
        refused(&[("RYZED_DATABASE__URL", &url), ("RYZED_DATABASE__PASSWORD_FILE", &wrong.display().to_string())]);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.stderr.contains("password authentication failed"), "{}", ran.said());
    let both = url.replace("app@", "app:hidden@");
    for (url, file, word) in [
        (both.as_str(), file.as_str(), "password_file"),
        (&url, "/nowhere", "/nowhere"),
        ("sqlite:///x.db", &file, "PostgreSQL"),
    ] {
        let ran = refused(&[("RYZED_DATABASE__URL", url), ("RYZED_DATABASE__PASSWORD_FILE", file)]);
        assert_eq!(ran.code, 2, "{}", ran.said());
        assert!(ran.stderr.contains(word), "{}", ran.said());
    }
}

#[tokio::test]
async fn a_start_waits_for_the_server_but_not_for_ever() {
    let cluster = Cluster::start();
    let url = cluster.new_database();
    cluster.shut_down();
    let begun = Instant::now();
    let ran = refused(&[("RYZED_DATABASE__URL", &url), ("RYZED_DATABASE__WAIT_SECONDS", "1")]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.stderr.contains("can't reach the database") && ran.stderr.contains("refused"), "{}", ran.said());
    assert_eq!(ran.stderr.matches("waiting for the database").count(), 1, "{}", ran.said());
    // A command beside the daemon does not wait at all.
    let folder = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    assert_eq!(ryzed(folder.path(), &[("RYZED_DATABASE__URL", &url)], &["migrate", "--status"]).code, 1);
    assert!(begun.elapsed() < Duration::from_secs(5));

    let starting = tokio::spawn(async move { start(url, &[]).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!starting.is_finished());
    cluster.start_again();
    let daemon = starting.await.expect("a daemon");
    assert!(daemon.log().contains("waiting for the database"), "{}", daemon.log());
    daemon.account().store("food_entries", &food_entry(json!({}))).await;

    // What waiting does not help is told at once.
    let missing = cluster.url("nowhere");
    let ran = refused(&[("RYZED_DATABASE__URL", &missing)]);
    assert!(ran.code == 1 && ran.stderr.contains("does not exist"), "{}", ran.said());
}

#[tokio::test]
async fn a_start_that_waits_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut waiting = Command::new(ryzed_tests::daemon::binary())
        .current_dir(folder.path())
        .env_clear()
        .env("RYZED_DATABASE__URL", "postgres://me@127.0.0.1:1/nothing")
        .env("RYZED_SERVER__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the daemon starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(waiting.stderr.take().expect("its log")));
    assert!(lines.any(|line| line.expect("a line").contains("waiting for the database")));
    let stop = Command::new("sh").args(["-c", &format!("kill -TERM {}", waiting.id())]).status().expect("a shell");
    assert!(stop.success());
    assert_eq!(waiting.wait().expect("its end").code(), Some(0));
    assert!(lines.any(|line| line.expect("a line").contains("stopped before the database was there")));
}

#[test]
fn what_takes_a_connection_and_says_nothing_is_not_waited_for_without_an_end() {
    let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://{}/ryzed", listening.local_addr().expect("its address"));
    // Held for longer than a start may take.
    let holding = std::thread::spawn(move || {
        let held = listening.accept().expect("a connection");
        std::thread::sleep(Duration::from_secs(20));
        drop(held);
    });
    let ran = refused(&[("RYZED_DATABASE__URL", &url), ("RYZED_DATABASE__WAIT_SECONDS", "0")]);
    assert!(ran.code == 1 && ran.stderr.contains("did not answer"), "{}", ran.said());
    holding.join().expect("it ends");
}
