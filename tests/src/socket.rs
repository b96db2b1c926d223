//! A WebSocket that remembers what it has seen, so that a story waits for what it cares about and nothing is lost.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::api::PREFIX;

/// The time that a message may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The library's own is 128 KiB, too much for thousands of sockets.
const READ_BUFFER: usize = 4 << 10;

/// The place of a socket's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// `Authorization`.
    Header,
    /// `?token=`.
    Query,
    /// The pair of subprotocols.
    Subprotocol,
    /// The first message.
    Message,
    /// Nowhere.
    Nowhere,
}

/// A socket in the making.
#[derive(Debug, Clone)]
pub struct Connect {
    address: String,
    device: String,
    token: String,
    place: TokenIn,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    receive_buffer: Option<u32>,
}

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    aside: VecDeque<Value>,
    seen: Vec<Value>,
    /// `connection_established`, or null when the story did not wait for it.
    pub hello: Value,
}

/// The end of a wait.
enum Event {
    Message(Value),
    Closed(u16, String),
    Broken(String),
}

impl Connect {
    pub(crate) fn new(address: &str, device: &str, token: String) -> Self {
        let device = device.to_owned();
        let address = address.to_owned();
        Self {
            address,
            device,
            token,
            place: TokenIn::Header,
            query: Vec::new(),
            headers: Vec::new(),
            receive_buffer: None,
        }
    }

    /// Adds a parameter to the query; its value must need no escape.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Says something in a header; the host as often as you like, others once more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Resumes from a cursor.
    #[must_use]
    pub fn from_cursor(self, cursor: &Value) -> Self {
        self.query("cursor", crate::account::cursor_text(cursor))
    }

    /// Brings the token another way.
    #[must_use]
    pub fn token_in(mut self, place: TokenIn) -> Self {
        self.place = place;
        self
    }

    /// Brings another token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = token.into();
        self
    }

    /// Takes little off the wire until it is read: a slow reader.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Opens the socket and waits for nothing.
    pub async fn open(self) -> Socket {
        self.try_open().await.expect("the upgrade is accepted, even for bad tokens")
    }

    /// Opens the socket at a daemon that may be away.
    ///
    /// # Errors
    /// When it is.
    pub async fn try_open(self) -> anyhow::Result<Socket> {
        let mut query = self.query.clone();
        if self.place == TokenIn::Query {
            query.push(("token".into(), self.token.clone()));
        }
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let address = format!("ws://{}{PREFIX}/ws/{}?{}", self.address, self.device, query.join("&"));
        let mut request = address.into_client_request().expect("an address");
        let header = |text: String| HeaderValue::from_str(&text).expect("a header");
        match self.place {
            TokenIn::Header => {
                request.headers_mut().insert("authorization", header(format!("Bearer {}", self.token)));
            }
            TokenIn::Subprotocol => {
                let pair = format!("ryzed.v1, bearer.{}", self.token);
                request.headers_mut().insert("sec-websocket-protocol", header(pair));
            }
            TokenIn::Query | TokenIn::Message | TokenIn::Nowhere => {}
        }
        for (name, value) in self.headers {
            if name == "host" {
                request.headers_mut().insert(name, header(value));
            } else {
                request.headers_mut().append(name, header(value));
            }
        }
        let tcp = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = self.receive_buffer {
            tcp.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        let tcp = tcp.connect(self.address.parse().expect("an address")).await?;
        tcp.set_nodelay(true).expect("no delay");
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let upgraded = tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await;
        let (stream, response) = upgraded?;
        if self.place == TokenIn::Subprotocol {
            assert_eq!(response.headers().get("sec-websocket-protocol"), Some(&HeaderValue::from_static("ryzed.v1")));
        }
        let mut socket = Socket { stream, aside: VecDeque::new(), seen: Vec::new(), hello: Value::Null };
        if self.place == TokenIn::Message {
            socket.send(json!({"type": "auth", "token": self.token})).await;
        }
        Ok(socket)
    }

    /// Opens the socket at a daemon that may be away or about to end, and waits until it is established.
    ///
    /// # Errors
    /// When it is, or the socket was closed instead.
    pub async fn try_established(self) -> anyhow::Result<Socket> {
        let mut socket = self.try_open().await?;
        match socket.event(PATIENCE).await {
            Ok(Some(hello)) if hello["type"] == "connection_established" => {
                socket.hello = hello;
                Ok(socket)
            }
            other => anyhow::bail!("{other:?} instead of a welcome"),
        }
    }

    /// Opens the socket and waits until it is established.
    pub async fn established(self) -> Socket {
        let mut socket = self.open().await;
        socket.hello = socket.next("connection_established").await;
        socket
    }

    /// Opens the socket, which must be closed before anything is said; the code.
    pub async fn refused(self) -> u16 {
        let mut socket = self.open().await;
        let (code, _) = socket.expect_close().await;
        assert_eq!(socket.seen, Vec::<Value>::new(), "something was said before the close");
        code
    }
}

impl Socket {
    /// Waits for the welcome of a socket that may be turned away.
    ///
    /// # Errors
    /// The close code when it is.
    pub async fn try_hello(&mut self) -> Result<(), u16> {
        match timeout(PATIENCE, self.read()).await.expect("a word in time") {
            Event::Message(message) => {
                assert_eq!(message["type"], "connection_established", "{message}");
                self.hello = message;
                Ok(())
            }
            Event::Closed(code, _) => Err(code),
            Event::Broken(error) => panic!("{error}"),
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends any frame.
    pub async fn send_raw(&mut self, message: Message) {
        self.try_send(message).await.expect("the socket takes a message");
    }

    /// Sends any frame over a socket that may be closed meanwhile.
    ///
    /// # Errors
    /// When it is.
    pub async fn try_send(&mut self, message: Message) -> anyhow::Result<()> {
        Ok(self.stream.send(message).await?)
    }

    /// The next message of this type; others are kept for later.
    pub async fn next(&mut self, kind: &str) -> Value {
        self.next_where(kind, |_| true).await
    }

    /// The next message of this type that fits; others are kept for later.
    pub async fn next_where(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wanted = |message: &Value| message["type"] == kind && fits(message);
        if let Some(at) = self.aside.iter().position(wanted) {
            return self.aside.remove(at).expect("it was just there");
        }
        let found = async {
            loop {
                match self.read().await {
                    Event::Message(message) if wanted(&message) => return Ok(message),
                    Event::Message(message) => self.aside.push_back(message),
                    Event::Closed(code, reason) => return Err(format!("closed with {code} {reason}")),
                    Event::Broken(error) => return Err(error),
                }
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(Ok(message)) => message,
            Ok(Err(end)) => panic!("no {kind}: {end}; seen: {:#?}", self.seen),
            Err(_) => panic!("no {kind} within {PATIENCE:?}; seen: {:#?}", self.seen),
        }
    }

    /// The next message of this type, if one comes in time; others are kept for later.
    pub async fn maybe_next(&mut self, kind: &str, patience: Duration) -> Option<Value> {
        if let Some(at) = self.aside.iter().position(|message| message["type"] == kind) {
            return self.aside.remove(at);
        }
        let coming = async {
            loop {
                match self.read().await {
                    Event::Message(message) if message["type"] == kind => return message,
                    Event::Message(message) => self.aside.push_back(message),
                    Event::Closed(code, reason) => panic!("no {kind}: closed with {code} {reason}"),
                    Event::Broken(error) => panic!("no {kind}: {error}"),
                }
            }
        };
        timeout(patience, coming).await.ok()
    }

    /// The next message, if one comes in time.
    ///
    /// # Errors
    /// The code with which the socket was closed; none when it just ended.
    pub async fn event(&mut self, patience: Duration) -> Result<Option<Value>, Option<u16>> {
        if let Some(message) = self.aside.pop_front() {
            return Ok(Some(message));
        }
        match timeout(patience, self.read()).await {
            Err(_) => Ok(None),
            Ok(Event::Message(message)) => Ok(Some(message)),
            Ok(Event::Closed(code, _)) => Err(Some(code)),
            Ok(Event::Broken(_)) => Err(None),
        }
    }

    /// The messages of a type that came so far and that nobody waited for.
    pub fn received(&mut self, kind: &str) -> Vec<Value> {
        let (found, kept) = self.aside.drain(..).partition(|message| message["type"] == kind);
        self.aside = kept;
        Vec::from_iter::<VecDeque<Value>>(found)
    }

    /// Waits until everything sent so far has been dealt with.
    pub async fn fence(&mut self) {
        self.send(json!({"type": "ping"})).await;
        self.next("pong").await;
    }

    /// Waits for the close; its code and reason.
    pub async fn expect_close(&mut self) -> (u16, String) {
        self.expect_close_within(PATIENCE).await
    }

    /// Waits for the close that may take longer than usual; its code and reason.
    pub async fn expect_close_within(&mut self, patience: Duration) -> (u16, String) {
        let closed = async {
            loop {
                match self.read().await {
                    Event::Message(message) => self.aside.push_back(message),
                    Event::Closed(code, reason) => return Ok((code, reason)),
                    Event::Broken(error) => return Err(error),
                }
            }
        };
        match timeout(patience, closed).await {
            Ok(Ok(close)) => close,
            Ok(Err(error)) => panic!("no close but {error}; seen: {:#?}", self.seen),
            Err(_) => panic!("no close within {patience:?}; seen: {:#?}", self.seen),
        }
    }

    /// Checks that nothing comes for so many milliseconds. Where a later message can be awaited, do that instead.
    pub async fn expect_silence(&mut self, milliseconds: u64) {
        match timeout(Duration::from_millis(milliseconds), self.read()).await {
            Err(_) => {}
            Ok(Event::Message(message)) => panic!("silence was broken by {message}"),
            Ok(Event::Closed(code, reason)) => panic!("closed with {code} {reason}"),
            Ok(Event::Broken(error)) => panic!("{error}"),
        }
    }

    /// Checks that no message of a type comes for so many milliseconds; others are kept for later.
    pub async fn expect_silence_of(&mut self, kind: &str, milliseconds: u64) {
        self.expect_silence_where(kind, |_| true, milliseconds).await;
    }

    /// Checks that no message of a type that fits comes for so many milliseconds; others are kept for later.
    pub async fn expect_silence_where(&mut self, kind: &str, fits: impl Fn(&Value) -> bool, milliseconds: u64) {
        let kept = async {
            loop {
                match self.read().await {
                    Event::Message(message) => self.aside.push_back(message),
                    Event::Closed(code, reason) => panic!("closed with {code} {reason}"),
                    Event::Broken(error) => panic!("{error}"),
                }
            }
        };
        let _: Result<(), _> = timeout(Duration::from_millis(milliseconds), kept).await;
        let came = self.aside.iter().find(|message| message["type"] == kind && fits(message));
        assert!(came.is_none(), "{came:?}");
    }

    /// Ends without a word, as a phone that loses its network.
    pub fn vanish(self) {
        drop(self);
    }

    /// Ends politely.
    pub async fn close(mut self) {
        // The other side may have closed first.
        let _ = self.stream.close(None).await;
    }

    async fn read(&mut self) -> Event {
        loop {
            match self.stream.next().await {
                None => return Event::Broken("the connection ended without a close".into()),
                Some(Err(error)) => return Event::Broken(format!("the connection broke: {error}")),
                Some(Ok(Message::Close(None))) => return Event::Closed(1005, String::new()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Event::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("the daemon speaks JSON");
                    assert!(message["type"].is_string(), "a message without type: {message}");
                    assert!(message["timestamp"].is_string(), "a message without timestamp: {message}");
                    self.seen.push(message.clone());
                    return Event::Message(message);
                }
                Some(Ok(_)) => {}
            }
        }
    }
}
