//! Which web pages may open a socket: once `server.allowed_origins` is set, those of the origins that it lists and the daemon's own.

use ryzed_tests::{Account, Connect, Daemon, TokenIn};

use crate::somebody;

fn from(me: &Account, origin: &str) -> Connect {
    me.connect("tablet").token_in(TokenIn::Subprotocol).header("origin", origin)
}

fn listing(origins: &str) -> Daemon {
    Daemon::builder().alone().env("RYZED_SERVER__ALLOWED_ORIGINS", origins).start()
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_socket_where_origins_are_listed() {
    let daemon = listing("https://app.example, http://localhost:5173,https://with.port:444");
    let me = daemon.account();
    let port = daemon.address().rsplit_once(':').expect("a port").1.to_owned();
    for foreign in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "https://evil.example/https://app.example",
        "https://app.example@evil.example",
        "http://localhost",
        "https://with.port",
        "null",
        "file://",
        "https://",
        "chrome-extension://app.example",
        &format!("http://localhost:{port}"),
        "https://app.example https://evil.example",
        "*",
    ] {
        let mut socket = from(&me, foreign).open().await;
        let (code, reason) = socket.expect_close().await;
        assert_eq!(code, 4400, "{foreign}");
        assert!(reason.contains("allowed_origins"), "{reason}");
    }
    // Before a token is even asked for.
    let silent = me.connect("tablet").token_in(TokenIn::Nowhere).header("origin", "https://evil.example");
    assert_eq!(silent.refused().await, 4400);
    let twice = from(&me, "https://app.example").header("origin", "https://evil.example");
    assert_eq!(twice.refused().await, 4400);
    for known in [
        "https://app.example",
        "https://app.example:443",
        "HTTPS://APP.EXAMPLE",
        "http://localhost:5173",
        "https://with.port:444",
        // The daemon's own pages, over whatever stands in front of it.
        &format!("http://{}", daemon.address()),
        &format!("https://{}", daemon.address()),
    ] {
        from(&me, known).established().await.fence().await;
    }
    // What is no browser has no origin.
    me.socket("phone").await.fence().await;
}

#[tokio::test]
async fn the_daemons_own_pages_are_those_of_the_host_that_was_asked() {
    let daemon = listing("https://app.example");
    let me = daemon.account();
    for (host, origin, is_own) in [
        ("sync.example", "https://sync.example", true),
        ("sync.example", "http://sync.example", true),
        ("sync.example:443", "https://sync.example", true),
        ("sync.example:80", "http://sync.example", true),
        ("Sync.Example", "https://sync.example", true),
        ("sync.example:8443", "https://sync.example:8443", true),
        ("[::1]:8000", "http://[::1]:8000", true),
        ("sync.example:8443", "https://sync.example", false),
        ("sync.example", "https://sync.example:8443", false),
        ("sync.example", "https://example", false),
    ] {
        let connect = from(&me, origin).header("host", host);
        match is_own {
            true => connect.established().await.fence().await,
            false => assert_eq!(connect.refused().await, 4400, "{origin} at {host}"),
        }
    }
}

#[tokio::test]
async fn where_all_origins_are_listed_or_none_any_page_may_connect_that_has_a_token() {
    let everybody = listing("*");
    for me in [everybody.account(), somebody()] {
        for origin in ["https://evil.example", "null"] {
            from(&me, origin).established().await.fence().await;
        }
    }
}
