//! Who has come: the token, the device, the query, and then the connection itself.

use std::sync::Arc;

use tokio::time::timeout;
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;
use yawc::frame::OpCode;

use super::stream::Ended;
use super::told::Told;
use super::{Shell, Socket, handshake};
use crate::actors::{CloseReason, Connection, Hello, token_of};
use crate::sync::{Cursor, DeviceId};

/// What the opening request said.
pub(super) struct Arrival {
    device: String,
    token: Option<String>,
    query: Vec<(String, String)>,
    /// Whether it is not from a web page that may not connect.
    is_at_home: bool,
}

impl Arrival {
    /// The token may come in a header, in the query or as a subprotocol; else it is the first message.
    pub(super) fn of(device: String, headers: &HeaderMap, query: Vec<(String, String)>, is_at_home: bool) -> Self {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let header = header.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let given = header.or_else(|| named(&query, "token")).or_else(|| handshake::bearer(headers));
        let token = given.map(str::to_owned);
        Self { device, token, query, is_at_home }
    }

    /// What stands where the device's id belongs.
    pub(super) fn device(&self) -> &str {
        &self.device
    }
}

/// Connects who has come, or says why not.
pub(super) async fn welcome(
    shell: &Shell,
    socket: &mut Socket,
    arrival: Arrival,
    told: &mut Told,
) -> Result<Connection, Ended> {
    let Arrival { device, token, query, is_at_home } = arrival;
    if !is_at_home {
        return Err(refused("origin", &"pages from there may not connect (server.allowed_origins)"));
    }
    let device: DeviceId = device.parse().map_err(|error| refused("device_id", &error))?;
    let token = match token {
        Some(token) => token,
        None => first_message(shell, socket).await?,
    };
    let verified = shell.verify.verify(&token).await;
    let caller = verified.map_err(|error| Ended::Closed(CloseReason::denied(error)))?;
    told.is_of(caller.user);
    let cursor = match named(&query, "cursor") {
        Some(text) => Some(text.parse::<Cursor>().map_err(|error| refused("cursor", &error))?),
        None => None,
    };
    let tables = named(&query, "tables").unwrap_or_default();
    let tables = tables.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let text = |name| named(&query, name).map(str::to_owned);
    let (device_type, app_version) = (text("device_type"), text("app_version"));
    let hello = Hello { caller, device, device_type, app_version, cursor, tables };
    shell.live.connect(hello, Arc::clone(&shell.verify)).await.map_err(Ended::Closed)
}

/// Waits for `{"type":"auth","token":…}`.
async fn first_message(shell: &Shell, socket: &mut Socket) -> Result<String, Ended> {
    let denied = |why: &'static str| Ended::Closed(CloseReason::Token(why.into()));
    let mut draining = shell.live.draining();
    let message = async {
        loop {
            let frame = socket.next_frame().await.map_err(|error| Ended::of(&error))?;
            match frame.opcode() {
                OpCode::Text => {
                    return token_of(frame.payload())
                        .ok_or_else(|| denied("the first message must be auth, with a token"));
                }
                OpCode::Close => return Err(Ended::ByPeer),
                OpCode::Binary => return Err(denied("the first message must be auth, as text")),
                _ => {}
            }
        }
    };
    tokio::select! {
        message = timeout(shell.auth_within, message) => {
            message.unwrap_or_else(|_| Err(denied("no token came in time (limits.auth_seconds)")))
        }
        _ = draining.wait_for(|draining| *draining) => Err(Ended::Closed(CloseReason::restarting())),
    }
}

fn refused(field: &str, error: &dyn std::fmt::Display) -> Ended {
    Ended::Closed(CloseReason::Protocol(format!("{field}: {error}").into()))
}

fn named<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let value = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    value.filter(|value| !value.is_empty())
}
