//! The server over real connections, on a real store, with nobody connected.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use ryzed_adapters::Registry;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use super::*;
use crate::auth::{Grant, Role, Secret, Verifier, sign};
use crate::clock::SystemClock;
use crate::store::sqlite::{SqliteSettings, SqliteStore};

/// Remembers what it was told.
#[derive(Default)]
struct Quiet(Mutex<Vec<String>>);

impl Quiet {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

#[async_trait]
impl RealtimeApi for Quiet {
    async fn online(&self, _user: UserId) -> Vec<DeviceId> {
        vec!["phone".parse().unwrap()]
    }
    async fn connect(&self, _: Hello, _: Arc<dyn Verify>) -> Result<(Connection, SocketGuard), CloseReason> {
        Err(CloseReason::TryLater)
    }
    async fn wait(&self, wait: Wait) -> Result<Woken, ServiceError> {
        self.note(format!("{:?} waits", wait.device));
        Ok(Woken::Nothing)
    }
    fn counts(&self) -> Counts {
        Counts { connections: 1, users: 1 }
    }
    async fn connections_on_other_instances(&self) -> usize {
        0
    }
    async fn active_users(&self) -> Vec<ActiveUser> {
        panic!("a handler may panic")
    }
    async fn trigger_sync(&self, _user: UserId, from: Option<&DeviceId>) -> usize {
        self.note(format!("trigger from {from:?}"));
        1
    }
    async fn synced(&self, _user: UserId, device: &DeviceId, answer: &SyncResponse, full: bool) {
        if let Some(changes_count) = answer.notable_changes(full) {
            self.note(format!("{device} synced {changes_count}"));
        }
    }
    async fn close_device(&self, _user: UserId, device: &DeviceId) {
        self.note(format!("close {device}"));
    }
    async fn test_broadcast(&self, _user: UserId, _message: &str, _topic: Option<&str>) -> usize {
        1
    }
    fn bridge(&self) -> &'static str {
        "none"
    }
    fn is_draining(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }
    async fn drain(&self, _window: Duration) {
        self.note("drain".into());
    }
    async fn stop(&self) {
        self.note("stop".into());
    }
}

struct Running {
    address: SocketAddr,
    secret: Secret,
    live: Arc<Quiet>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    change(&mut config);
    let secret = Secret::load_or_create(&config).unwrap().unwrap();
    let verifier = Arc::new(Verifier::new(&config.auth, Some(&secret)).unwrap());
    let registry = Arc::new(Registry::standard());
    let settings =
        SqliteSettings { path: config.database_path(), durable: false, readers: 1, stay: crate::store::Stay::Resident };
    let store = SqliteStore::open(&settings, Arc::clone(&registry), Arc::new(|| ())).unwrap();
    let (clock, limits) = (Arc::new(SystemClock), config.limits.clone());
    let service = Service::new(Arc::new(store), registry, clock, limits, TimeDelta::days(90));
    let live = Arc::new(Quiet::default());
    let listening = Listening::on("127.0.0.1:0").await.unwrap();
    let address = listening.address().unwrap();
    let guests = Guests::new(&config.limits, &config.server.trusted_proxies, 10_000);
    let people = People::of(&config, Some(&secret), address.ip(), false);
    let app = App::new(Arc::new(service), verifier, live.clone(), guests, Arc::new(config), people);
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let server = tokio::spawn(serve(listening, app, no_sockets(), stopped));
    Running { address, secret, live, stop, server, _folder: folder }
}

fn no_sockets() -> SocketFilter {
    use warp::Filter;
    warp::any().and_then(|| async { Err::<Response, _>(warp::reject()) }).boxed()
}

struct Answered {
    status: u16,
    headers: warp::http::HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Running {
    fn token(&self, role: Role) -> String {
        let grant = Grant { user: UserId(Uuid::from_u128(1)), role, email: None, issuer: None, audience: None };
        sign(&self.secret, &grant, Utc::now(), Duration::from_secs(60)).unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answered {
        let mut request = warp::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let ask = move || {
            let agent = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
            let agent: ureq::Agent = agent.max_redirects(0).build().into();
            let mut response = agent.run(request).unwrap();
            let body = response.body_mut().read_to_vec().unwrap();
            Answered { status: response.status().as_u16(), headers: response.headers().clone(), body }
        };
        spawn_blocking(ask).await.unwrap()
    }

    /// Under `/api/realtime`, as an ordinary person.
    async fn call(&self, method: &str, path: &str, body: Value) -> Answered {
        let token = format!("Bearer {}", self.token(Role::Authenticated));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask(method, &format!("/api/realtime{path}"), &[("authorization", &token)], body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_goes_round_all_calls() {
    let running = start(|_| ()).await;
    let id = Uuid::from_u128(9).to_string();
    let change = json!({"table": "workout_sessions", "operation": "INSERT", "mutation_id": Uuid::from_u128(3),
        "data": {"id": id, "name": "Legs", "start_time": "2026-01-01T10:00:00Z"}});
    let synced = running.call("POST", "/sync", json!({"device_id": "phone", "changes": [change]})).await.json();
    assert_eq!(synced["results"][0]["status"], "applied", "{synced}");
    let cursor = format!("{},user:0", synced["cursor"]["epoch"].as_str().unwrap());
    let path = format!("/changes?cursor={cursor}&tables=workout_sessions&limit=5&digest=true");
    let pulled = running.call("GET", &path, Value::Null).await.json();
    assert_eq!(pulled["changes"]["workout_sessions"][0]["name"], "Legs", "{pulled}");
    assert_eq!(pulled["digest"]["workout_sessions"]["rows"], 1);
    assert_eq!(running.call("GET", "/digest", Value::Null).await.json()["digest"]["workout_sessions"]["rows"], 1);
    let devices = running.call("GET", "/devices", Value::Null).await.json();
    assert_eq!((&devices[0]["device_id"], &devices[0]["is_active"]), (&json!("phone"), &json!(true)));
    let named = running.call("PATCH", "/devices/phone", json!({"name": "Mine"})).await.json();
    assert_eq!(named["name"], "Mine");
    assert_eq!(running.call("PATCH", "/devices/phone", json!({"colour": "red"})).await.status, 422);
    let status = running.call("GET", "/sync-status?device_id=phone", Value::Null).await.json();
    assert_eq!((&status["is_online"], &status["pending_uploads"]), (&json!(true), &json!(0)));
    let triggered = running.call("POST", "/trigger-sync", json!({"device_id": "phone"})).await.json();
    assert_eq!(triggered["notified"], 1);
    let export = running.call("GET", "/export", Value::Null).await;
    assert!(String::from_utf8(export.body).unwrap().lines().any(|line| line.contains("Legs")));
    assert_eq!(running.call("GET", "/tables/foods/schema", Value::Null).await.json()["title"], "foods");
    assert_eq!(running.call("GET", "/conflicts", Value::Null).await.json()["conflicts"], json!([]));
    assert_eq!(running.call("DELETE", "/devices/phone", Value::Null).await.status, 204);
    assert_eq!(running.call("POST", "/sync", json!({"device_id": "phone"})).await.status, 403);
    assert_eq!(running.call("PATCH", "/devices/phone", json!({"is_active": true})).await.status, 401, "too old");
    let told = running.live.0.lock().unwrap().clone();
    assert_eq!(told, ["phone synced 1", "trigger from Some(DeviceId(\"phone\"))", "close phone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem() {
    let running = start(|config| config.limits.request_bytes = 1000).await;
    for (method, path, body, status) in [
        ("GET", "/nowhere", Value::Null, 404),
        ("PUT", "/sync", Value::Null, 405),
        ("OPTIONS", "/sync", Value::Null, 405),
        ("POST", "/sync", json!({}), 422),
        ("POST", "/sync", json!({"device_id": "a", "tables": ["wings"]}), 422),
        ("POST", "/sync", json!({"device_id": "a".repeat(2000)}), 413),
        ("GET", "/changes?cursor=x:y", Value::Null, 422),
        ("GET", "/changes?limit=-", Value::Null, 422),
        ("GET", "/sync-status", Value::Null, 422),
        ("GET", "/tables/wings/schema", Value::Null, 404),
        ("DELETE", "/devices/%20", Value::Null, 404),
        ("POST", "/conflicts/x/resolve", json!({"resolution": "server"}), 404),
        ("GET", "/active-users", Value::Null, 403),
        ("POST", "/test-broadcast", json!({"message": "x"}), 404),
    ] {
        let answer = running.call(method, path, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{path}");
        assert_eq!(answer.json()["status"], status);
        assert!(!answer.header("x-request-id").is_empty());
    }
    assert_eq!(running.call("PUT", "/devices/a", Value::Null).await.header("allow"), "PATCH, DELETE");
    let stranger = running.ask("GET", "/api/realtime/devices", &[], "").await;
    assert_eq!((stranger.status, stranger.header("www-authenticate")), (401, "Bearer"));
    let admin = format!("Bearer {}", running.token(Role::Admin));
    let panicked = running.ask("GET", "/api/realtime/active-users", &[("authorization", &admin)], "").await;
    assert_eq!(panicked.status, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_bodies_may_be_compressed() {
    let running = start(|config| config.limits.request_bytes = 4000).await;
    let token = format!("Bearer {}", running.token(Role::Authenticated));
    let headers = [("authorization", token.as_str()), ("accept-encoding", "zstd")];
    let packed = running.ask("GET", "/api/realtime/tables", &headers, "").await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("zstd", "accept-encoding"));
    // `{"device_id":"phone"}` and a megabyte of blanks, as gzip makes them.
    let headers = [("authorization", token.as_str()), ("content-encoding", "gzip")];
    let small = include_bytes!("tests/small.json.gz");
    assert_eq!(running.ask("POST", "/api/realtime/sync", &headers, small).await.status, 200);
    let bomb = include_bytes!("tests/bomb.json.gz");
    assert_eq!(running.ask("POST", "/api/realtime/sync", &headers, bomb).await.status, 413);
    assert_eq!(running.ask("POST", "/api/realtime/sync", &headers, "no gzip").await.status, 400);
    let headers = [("authorization", token.as_str()), ("content-encoding", "br")];
    assert_eq!(running.ask("POST", "/api/realtime/sync", &headers, "x").await.status, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_token_answers() {
    let running = start(|config| config.server.allowed_origins = vec!["https://app.example".into()]).await;
    let health = running.ask("GET", "/api/realtime/health", &[("x-request-id", "mine-1")], "").await;
    assert_eq!((&health.json()["database"], health.header("x-request-id")), (&json!("sqlite"), "mine-1"));
    for path in ["/livez", "/readyz", "/demo", "/demo/demo.js"] {
        assert_eq!(running.ask("GET", path, &[("x-request-id", "no good")], "").await.status, 200, "{path}");
    }
    assert_eq!(running.ask("HEAD", "/demo", &[], "").await.body, b"");
    let asked = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let preflight = running.ask("OPTIONS", "/api/realtime/sync", &asked, "").await;
    assert_eq!(preflight.header("access-control-allow-origin"), "https://app.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_let_go() {
    let running = start(|config| config.server.header_timeout_seconds = 1).await;
    let address = running.address;
    for beginning in ["", "P", "POST /api/realtime/sync HTTP/1.1\r\nHos"] {
        let waited = spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(beginning.as_bytes()).unwrap();
            let start = Instant::now();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            start.elapsed()
        });
        assert!(waited.await.unwrap() < Duration::from_secs(4), "{beginning:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_requests_but_not_for_ever() {
    let running = start(|config| config.server.drain_seconds = 1).await;
    let mut stream = TcpStream::connect(running.address).unwrap();
    let token = running.token(Role::Authenticated);
    let head = format!(
        "POST /api/realtime/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 99\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut goes_on = [0; 12];
    stream.read_exact(&mut goes_on).unwrap();
    assert_eq!(goes_on, *b"HTTP/1.1 100", "the body is being waited for");
    running.stop.send(()).unwrap();
    let start = Instant::now();
    running.server.await.unwrap();
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&start.elapsed()));
    assert!(TcpStream::connect(running.address).is_err());
    assert_eq!(*running.live.0.lock().unwrap(), ["drain", "stop"]);
}
