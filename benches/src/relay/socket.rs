//! One socket of the relay, from the upgrade to its end.

use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use uuid::Uuid;

use super::hall::{Change, Device, Hall, Person, now};

const PATH: &str = "/api/realtime/ws/";
/// The library's own is 128 KiB, too much for thousands of sockets.
const READ_BUFFER: usize = 4 << 10;
/// Frames that wait for one device.
const FRAMES: usize = 8192;
/// The close code of a bad token.
const NO_TOKEN: u16 = 4401;

type Stream = WebSocketStream<TcpStream>;

/// The members of a frame that are looked at; the row travels on as it came.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    table: Option<&'a str>,
    operation: Option<&'a str>,
    mutation_id: Option<Uuid>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: Uuid,
}

pub(super) async fn serve(hall: Arc<Hall>, queues: Vec<mpsc::Sender<Change>>, stream: TcpStream) {
    // Neither matters to anybody but the one who called.
    let _ = stream.set_nodelay(true);
    let Some((mut stream, name, token)) = Box::pin(upgrade(stream)).await else { return };
    let Some(person) = token.and_then(|token| hall.person(&token)) else {
        let _ = stream.close(Some(CloseFrame { code: NO_TOKEN.into(), reason: "no valid token".into() })).await;
        return;
    };
    let (sink, stream) = stream.split();
    let (queue, frames) = mpsc::channel(FRAMES);
    let device = Arc::new(Device { name, queue });
    person.enter(&device);
    let writer = tokio::spawn(write(sink, frames));
    // Changes of one person take one way, so that they stay in order.
    let way = &queues[person.id.as_u128() as usize % queues.len()];
    read(stream, &person, &device, way).await;
    person.leave(&device);
    writer.abort();
}

/// The socket, the device of its path, and its token.
async fn upgrade(stream: TcpStream) -> Option<(Stream, String, Option<String>)> {
    let (mut device, mut token) = (None, None);
    #[expect(clippy::result_large_err, reason = "the library asks for this type")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        device = request.uri().path().strip_prefix(PATH).map(str::to_owned);
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let stream = accept_hdr_async_with_config(stream, look, Some(config)).await.ok()?;
    Some((stream, device?, token))
}

/// Everything that waits goes out at once.
async fn write(mut sink: SplitSink<Stream, Message>, mut frames: mpsc::Receiver<Utf8Bytes>) -> Option<()> {
    loop {
        sink.feed(Message::Text(frames.recv().await?)).await.ok()?;
        while let Ok(frame) = frames.try_recv() {
            sink.feed(Message::Text(frame)).await.ok()?;
        }
        sink.flush().await.ok()?;
    }
}

async fn read(
    mut stream: SplitStream<Stream>,
    person: &Arc<Person>,
    device: &Arc<Device>,
    way: &mpsc::Sender<Change>,
) -> Option<()> {
    loop {
        let Message::Text(text) = stream.next().await?.ok()? else { continue };
        match understand(&text, person, device) {
            Some(Said::Ping) => device.tell(format!(r#"{{"type":"pong","timestamp":"{}"}}"#, now()).into()),
            Some(Said::Change(change)) => way.send(change).await.ok()?,
            None => device.tell(format!(r#"{{"type":"error","code":"message","timestamp":"{}"}}"#, now()).into()),
        }
    }
}

enum Said {
    Ping,
    Change(Change),
}

fn understand(text: &str, person: &Arc<Person>, device: &Arc<Device>) -> Option<Said> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    if frame.kind == "ping" {
        return Some(Said::Ping);
    }
    let data = frame.data.filter(|_| frame.kind == "data_updated")?.get();
    let OnlyId { id } = serde_json::from_str(data).ok()?;
    Some(Said::Change(Change {
        person: Arc::clone(person),
        from: Arc::clone(device),
        version: 0,
        table: frame.table?.to_owned(),
        operation: frame.operation?.to_owned(),
        mutation: frame.mutation_id?,
        row: id,
        data: data.to_owned(),
    }))
}
