//! Throw-away people for the demo page: who gets one, who does not, and how many there are.

use hyper::Method;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Answer, Api, Daemon, insert};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Asks for somebody as a page does that says these things of itself.
async fn ask(daemon: &Daemon, headers: &[(&str, &str)]) -> Answer {
    Api::new(&daemon.address(), None).raw(Method::POST, "//demo/people", headers, "").await.expect("an answer")
}

/// Somebody new, who must be given.
async fn somebody_new(daemon: &Daemon) -> Value {
    let origin = format!("http://{}", daemon.address());
    ask(daemon, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await.ok()
}

/// True if the page would show its button.
async fn are_made(daemon: &Daemon) -> Value {
    Api::new(&daemon.address(), None).get("//demo/people").await.ok()
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).expect("three parts");
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64");
    serde_json::from_slice(&text).expect("claims")
}

#[tokio::test]
async fn the_page_of_this_machine_gets_somebody_new() {
    let daemon = Daemon::start();
    assert_eq!(are_made(&daemon).await["are_made"], true);
    let (one, other) = (somebody_new(&daemon).await, somebody_new(&daemon).await);
    assert_ne!(one["user_id"], other["user_id"]);
    let token = one["token"].as_str().expect("a token");
    let said = claims(token);
    assert_eq!((&said["sub"], &said["role"]), (&one["user_id"], &json!("authenticated")));
    let lifetime = said["exp"].as_i64().expect("exp") - said["iat"].as_i64().expect("iat");
    assert!(lifetime <= 24 * 3600 && one["lifetime_seconds"] == lifetime, "{said}");
    // A person like any other, and no more than that.
    let api = Api::new(&daemon.address(), Some(token.to_owned()));
    let changes = [insert("food_entries", &food_entry(json!({}))).json()];
    let synced = api.post("/sync", &json!({"device_id": "phone", "changes": changes})).await.ok();
    assert_eq!(synced["results"][0]["status"], "applied", "{synced}");
    let others = Api::new(&daemon.address(), other["token"].as_str().map(str::to_owned));
    let theirs = others.get("/changes?tables=food_entries").await.ok();
    assert_eq!(theirs["changes"]["food_entries"], Value::Null, "{theirs}");
    api.get("/active-users").await.problem(&[403]);
    // Revoking the device takes the token along, as any other.
    assert_eq!(api.delete("/devices/phone").await.status, 204);
    api.get("/devices").await.problem(&[401]);
}

#[tokio::test]
async fn another_host_another_page_and_a_proxy_get_nobody() {
    let daemon = Daemon::start();
    let here = daemon.address();
    let port = here.rsplit_once(':').expect("a port").1;
    let (own, neighbour) = (format!("http://{here}"), format!("http://localhost:{port}"));
    let foreign: [&[(&str, &str)]; 9] = [
        // A name that somebody else has made point here, with its own page.
        &[("host", "evil.example"), ("origin", "http://evil.example")],
        &[("host", "evil.example")],
        &[("host", "127.0.0.1.evil.example")],
        &[("host", &format!("192.168.1.5:{port}"))],
        &[("origin", "http://evil.example")],
        &[("origin", &neighbour)],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", &own), ("x-forwarded-for", "203.0.113.7")],
    ];
    for headers in foreign {
        let answer = ask(&daemon, headers).await;
        let problem = answer.problem(&[403]);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{headers:?}: {problem}");
        assert!(!answer.text().contains("evil"), "{}", answer.text());
    }
    // What a proxy says that was told nothing, and so rewrites the host.
    let request = format!("POST /demo/people HTTP/1.0\r\nHost: {here}\r\nContent-Length: 0\r\n\r\n");
    let mut stream = TcpStream::connect(&here).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers and closes");
    assert!(answer.starts_with("HTTP/1.0 403") || answer.starts_with("HTTP/1.1 403"), "{answer}");
    let told = Api::new(&here, None).raw(Method::GET, "//demo/people", &[("host", "evil.example")], "").await;
    assert_eq!(told.expect("an answer").ok()["are_made"], false);
    somebody_new(&daemon).await;
}

#[tokio::test]
async fn where_they_are_switched_off_or_the_daemon_is_open_there_are_none() {
    let off = Daemon::builder().alone().env("RYZED_DEV__DEMO_PEOPLE", false).start();
    let open = Daemon::builder().alone().host("0.0.0.0").start();
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/src/auth/test_keys/ec.pub.pem");
    let keyed = Daemon::builder().alone().without("RYZED_AUTH__SECRET").env("RYZED_AUTH__PUBLIC_KEY_FILE", key).start();
    for (daemon, why) in [(&off, "dev.demo_people"), (&open, "dev.demo_people"), (&keyed, "auth.hs256")] {
        let local = format!("127.0.0.1:{}", daemon.address().rsplit_once(':').expect("a port").1);
        let problem = Api::new(&local, None).post("//demo/people", &json!({})).await.problem(&[404]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{problem}");
        let told = Api::new(&local, None).get("//demo/people").await.ok();
        assert_eq!((&told["are_made"], &told["why"]), (&json!(false), &problem["detail"]));
    }
    assert!(keyed.log().contains("throw-away"), "{}", keyed.log());
    // Who wants them elsewhere says so, and they are still for the daemon's own machine.
    let wanted = Daemon::builder().alone().host("0.0.0.0").env("RYZED_DEV__DEMO_PEOPLE", true).start();
    let port = wanted.address().rsplit_once(':').expect("a port").1.to_owned();
    let local = Api::new(&format!("127.0.0.1:{port}"), None);
    local.post("//demo/people", &json!({})).await.ok();
    let headers = [("host", "demo.example")];
    local.raw(Method::POST, "//demo/people", &headers, "").await.expect("an answer").problem(&[403]);
}

#[tokio::test]
async fn there_are_so_many_a_minute_and_so_many_at_a_time() {
    let few = Daemon::builder().alone().env("RYZED_LIMITS__DEMO_PEOPLE_PER_MINUTE", 2).start();
    let most = Daemon::builder().alone().env("RYZED_LIMITS__DEMO_PEOPLE", 2).start();
    for (daemon, limit, longest) in
        [(&few, "limits.demo_people_per_minute", 60), (&most, "limits.demo_people)", 24 * 3600)]
    {
        // Who may not have one takes nobody's place.
        ask(daemon, &[("host", "evil.example")]).await.problem(&[403]);
        somebody_new(daemon).await;
        somebody_new(daemon).await;
        let refused = ask(daemon, &[]).await;
        let problem = refused.problem(&[429]);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(limit)), "{problem}");
        let after: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!(after > 0 && after <= longest, "{after}");
    }
}
