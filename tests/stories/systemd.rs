//! The unit files: they are right, and they lock the daemon in.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use ryzed_tests::Api;
use ryzed_tests::daemon::binary;
use tempfile::TempDir;
use tokio::process::Command;

/// The most exposure that `systemd-analyze security` may find.
const EXPOSURE: f64 = 1.2;

fn analyze(arguments: &[&str]) -> Output {
    std::process::Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .expect("the story needs systemd-analyze: apt-get install systemd")
}

/// The unit files, with the binary that was built instead of the installed one.
fn units() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    for entry in source.read_dir().expect("the folder systemd").flatten() {
        let name = entry.file_name();
        let text = std::fs::read_to_string(entry.path()).expect("a unit file");
        let lines: Vec<String> = text.lines().map(with_built_binary).collect();
        std::fs::write(folder.path().join(name), lines.join("\n")).expect("a copy");
    }
    let service = folder.path().join("ryzed.service");
    assert!(service.is_file(), "there is no systemd/ryzed.service");
    (folder, service)
}

fn with_built_binary(line: &str) -> String {
    let is_ours = |(key, command): &(&str, &str)| key.starts_with("Exec") && command.contains("ryzed");
    let Some((key, command)) = line.split_once('=').filter(is_ours) else {
        return line.to_owned();
    };
    let arguments = command.split_once(' ').map_or("", |(_, arguments)| arguments);
    format!("{key}={} {arguments}", binary().display())
}

#[test]
fn the_units_are_right() {
    let (folder, service) = units();
    let socket = folder.path().join("ryzed.socket");
    let output = analyze(&["verify", "--man=no", service.to_str().expect("a path"), socket.to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&output.stderr);
    // An older systemd passes over what it does not know, and pauses for as long each time.
    let is_known = |line: &&str| !["RestartSteps", "RestartMaxDelaySec"].iter().any(|key| line.contains(key));
    let faults: Vec<&str> = said.lines().filter(is_known).collect();
    assert!(output.status.success() && faults.is_empty(), "{said}");
}

#[test]
fn the_service_is_locked_in() {
    let (_folder, service) = units();
    let output = analyze(&["security", "--offline=true", "--no-pager", service.to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&output.stdout);
    let overall = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
    let level: f64 = overall
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .next_back()
        .unwrap_or_else(|| panic!("no number in {overall:?}"));
    assert!(level <= EXPOSURE, "{overall}\n{said}");
}

#[test]
fn the_service_tells_when_it_is_ready_and_is_watched() {
    let (_folder, service) = units();
    let text = std::fs::read_to_string(service).expect("the unit");
    for line in ["Type=notify", "WatchdogSec=", "StateDirectory=", "LoadCredential"] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing");
    }
}

#[test]
fn the_service_comes_back_however_often_it_fails_and_takes_the_machine_along_never() {
    let (_folder, service) = units();
    let text = std::fs::read_to_string(service).expect("the unit");
    for line in [
        "Restart=always",
        "RestartSteps=",
        "RestartMaxDelaySec=",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=2",
        "MemoryMax=",
        "LimitCORE=0",
        "ExecReload=",
        "RequiresMountsFor=%S/ryzed",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing");
    }
    let waits = text.lines().find(|line| line.starts_with("After=")).expect("an order");
    assert!(waits.contains("time-sync.target"), "{waits}");
    // What the unit sets, no command would find.
    let settings: Vec<&str> = text.lines().filter(|line| line.starts_with("Environment=")).collect();
    assert_eq!(settings, ["Environment=RYZED_AUTH__SECRET_FILE=%d/ryzed-secret"]);
}

/// The documented installation, in a namespace of its own, and then commands as somebody types them there.
const INSTALLED: &str = r#"
set -eu
mount -t tmpfs tmpfs /etc && mount -t tmpfs tmpfs /var/lib
mkdir -p /etc/ryzed /var/lib/ryzed
cp "$1" /etc/ryzed/ryzed.toml
(umask 077; head -c 48 /dev/urandom | base64 -w 0 > /etc/ryzed/secret)
cp -p /etc/ryzed/secret copy
RYZED_AUTH__SECRET_FILE=copy RYZED_SERVER__LISTEN=127.0.0.1:0 "$0" serve --config /etc/ryzed/ryzed.toml > out 2> log &
trap 'kill -9 $!' EXIT
for try in $(seq 300); do grep -q listens out && break; sleep 0.1; done
base=$(sed -n 's/.*listens on \([^,]*\),.*/\1/p' out)
user=7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001
token=$("$0" token --user $user)
printf '%s\n' name_en,name_fr,calories Medlar,Nèfle,53 > foods.csv
"$0" import foods.csv --table foods
"$0" export --user $user > me.ndjson
curl -sf -H "Authorization: Bearer $token" "$base/api/realtime/changes?tables=foods" | grep -o Medlar
test ! -e data && test -f /var/lib/ryzed/ryzed.db && echo found
"#;

#[test]
fn after_the_installation_commands_find_the_services_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/ryzed.toml");
    let mut install = std::process::Command::new("unshare");
    install.args(["--map-root-user", "--mount", "sh", "-c", INSTALLED]).arg(binary()).arg(settings);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RYZED_")) {
        install.env_remove(name);
    }
    let ran = ryzed_tests::Ran::of(install.current_dir(folder.path()));
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(ran.stdout.contains("Medlar") && ran.stdout.contains("found"), "{}", ran.said());
}

/// As systemd does it: the socket is there before the daemon, as descriptor 3 of the process that is named.
#[tokio::test]
async fn a_socket_that_the_service_manager_holds_is_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let waiting = Api::new(&address, None);
    let waits = tokio::spawn(async move { waiting.get("//livez").await.status });
    let daemon = Command::new("sh")
        .args(["-c", r#"export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" serve 3<&0 0</dev/null"#])
        .arg(binary())
        .env("RYZED_DATA_DIR", folder.path())
        .env("RYZED_SERVER__LISTEN", "127.0.0.1:1")
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut daemon = daemon.expect("a shell");
    assert_eq!(waits.await.expect("an answer"), 200, "who came before the daemon is served");
    daemon.kill().await.expect("it runs");
}
