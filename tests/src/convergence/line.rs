//! A socket of a device: opened with its cursor, and watched for the order of versions.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::account::cursor_text;
use crate::api::PREFIX;

/// The time that opening and sending may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// An event on a socket.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Message(Value),
    /// The other side closed, with this code and reason.
    Closed(u16, String),
    /// The line broke.
    Broken(String),
}

/// An open socket.
#[derive(Debug)]
pub struct Line {
    stream: WebSocketStream<TcpStream>,
    /// The last versions that came, of the person's scope and of the catalogue.
    last: [i64; 2],
}

impl Line {
    /// Opens a socket; nothing was heard yet.
    ///
    /// # Errors
    /// When there is no way.
    pub async fn open(
        address: &str,
        device: &str,
        token: &str,
        cursor: &Value,
        tables: &[&str],
    ) -> anyhow::Result<Self> {
        let mut query = String::new();
        if !cursor.is_null() {
            query += &format!("cursor={}&", cursor_text(cursor));
        }
        if !tables.is_empty() {
            query += &format!("tables={}", tables.join(","));
        }
        let mut request = format!("ws://{address}{PREFIX}/ws/{device}?{query}").into_client_request()?;
        request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
        let opening = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            anyhow::Ok(tokio_tungstenite::client_async(request, tcp).await?)
        };
        let (stream, _) = timeout(PATIENCE, opening).await.context("no upgrade in time")??;
        Ok(Self { stream, last: [0; 2] })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it does not leave.
    pub async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        timeout(PATIENCE, self.stream.send(Message::text(message.to_string()))).await.context("nothing leaves")??;
        Ok(())
    }

    /// The next event. May be dropped while it waits.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match self.stream.next().await {
                None => return Heard::Broken("the connection ended without a close".into()),
                Some(Err(error)) => return Heard::Broken(error.to_string()),
                Some(Ok(Message::Close(None))) => return Heard::Closed(1005, String::new()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Text(text))) => {
                    return match serde_json::from_str(&text) {
                        Ok(message) => Heard::Message(message),
                        Err(error) => Heard::Broken(format!("not JSON ({error}): {text}")),
                    };
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// Checks that a change comes after those before it.
    ///
    /// # Errors
    /// When it does not.
    pub fn in_order(&mut self, message: &Value) -> anyhow::Result<()> {
        let Some(version) = message["version"].as_i64() else { bail!("a change without version: {message}") };
        let last = &mut self.last[usize::from(message["scope"] == "global")];
        ensure!(version > *last, "version {version} came after {last}: {message}");
        *last = version;
        Ok(())
    }
}
