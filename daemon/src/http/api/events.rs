//! The streamed form of `GET /changes`: what a socket would say, as server-sent events, for networks that pass answers and no
//! WebSocket. It is a connected device like any other, and only listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use ryzed_adapters::format_time;
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};
use warp::http::HeaderMap;
use warp::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use warp::reply::{Reply, Response};

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::problem::Problem;
use super::super::{App, Seat};
use super::A_DEVICE;
use crate::actors::{CloseReason, Connection, Hello, Input, SocketGuard};
use crate::auth::Caller;
use crate::budget::Who;
use crate::metrics::{EndedBy, metrics};
use crate::sync::strangers::Strangers;
use crate::sync::{Cursor, DeviceId};

/// The media type that asks for it.
const EVENTS: &str = "text/event-stream";
/// Keeps nginx, and what follows its example, from holding the events back.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Events that may wait for the connection; more wait in the outbox.
const WAITING: usize = 1;
/// Shows that the stream is there.
const SIGN: &[u8] = b":\n\n";
/// How often it is shown in the time in which a client would have to say something.
const SIGNS: u32 = 2;
/// How long the last event may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// When to come back to who finds no room.
const LATER: Duration = Duration::from_secs(5);

/// Whether the stream is asked for.
pub(super) fn are_wanted(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains(EVENTS))
}

/// Connects the device, or says why not as a socket would: with a close code, in the first event.
pub(super) async fn open(call: Call, caller: Caller) -> Answer {
    let device: DeviceId = call.query.required("device_id", A_DEVICE)?;
    call.is_device(&device);
    call.waits();
    let text = |name| call.query.text(name).map(str::to_owned);
    let full = || Problem::unavailable("too many devices are connected (limits.sockets)", LATER);
    let seat = call.app.guests.seat(Who::User(caller.user)).ok_or_else(full)?;
    let hello = Hello {
        caller,
        device,
        device_type: text("device_type"),
        app_version: text("app_version"),
        cursor: call.query.value::<Cursor>("cursor", "<epoch>,user:<version>,global:<version>")?,
        tables: call.query.list("tables"),
        ignored: Strangers::default(),
    };
    let app = Arc::clone(&call.app);
    // What is heard of for hours is none of the person's requests that are under way.
    drop(call);
    let (sender, receiver) = mpsc::channel(WAITING);
    let connected = app.live.connect(hello, Arc::clone(&app.verifier)).await;
    tokio::spawn(run(app, connected, seat, sender));
    Ok(answer(receiver))
}

fn answer(mut events: Receiver<Bytes>) -> Response {
    let events = stream::poll_fn(move |context| events.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>)));
    let mut response = warp::reply::stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

async fn run(
    app: Arc<App>,
    connected: Result<(Connection, SocketGuard), CloseReason>,
    _seat: Seat,
    sender: Sender<Bytes>,
) {
    // Held until the last event is out: a drain waits for it.
    let (ended, _guard) = match connected {
        Ok((mut connection, guard)) => (serve(&mut connection, &sender).await, Some(guard)),
        Err(reason) => (Err(Ended::Closed(reason)), None),
    };
    let Err(Ended::Closed(reason)) = ended else { return metrics().sockets_ended.inc(EndedBy::Client) };
    metrics().closed(reason.code());
    let closed = json!({
        "type": "closed",
        "code": reason.code(),
        "reason": reason.text(),
        "timestamp": format_time(app.service.clock.now()),
    });
    let _ = tokio::time::timeout(LAST_WORDS, sender.send(event(closed.to_string().as_bytes()))).await;
}

/// Why it is over.
enum Ended {
    /// The daemon closes it.
    Closed(CloseReason),
    /// The client has gone.
    Gone,
}

/// Serves a device until its stream ends.
async fn serve(connection: &mut Connection, sender: &Sender<Bytes>) -> Result<(), Ended> {
    if let Some(message) = connection.take_welcome() {
        send(sender, &message).await?;
    }
    replay(connection, sender).await?;
    let link = Arc::clone(connection.link());
    link.release();
    let between = connection.heartbeat() / SIGNS;
    let (mut sign, mut deadline) = (Instant::now() + between, connection.first_deadline());
    loop {
        while let Some(outgoing) = link.take() {
            send(sender, &connection.outgoing(outgoing)).await?;
        }
        if let Some(reason) = link.closing() {
            return Err(Ended::Closed(reason));
        }
        let input = tokio::select! {
            () = link.rung() => continue,
            () = sender.closed() => return Err(Ended::Gone),
            () = sleep_until(sign) => {
                sign = Instant::now() + between;
                sender.send(Bytes::from_static(SIGN)).await.map_err(|_| Ended::Gone)?;
                // Who takes what it is given is there.
                Input::Heard
            }
            () = sleep_until(deadline) => Input::Tick,
        };
        // The device's actor may have failed, or ended with the daemon.
        let answer = connection.input(input).await;
        let answer = answer.ok_or_else(|| Ended::Closed(link.closing().unwrap_or(CloseReason::Internal)))?;
        for message in &answer.messages {
            send(sender, message).await?;
        }
        if let Some(reason) = answer.close {
            return Err(Ended::Closed(reason));
        }
        deadline = answer.deadline;
    }
}

/// Sends what the device missed since its cursor.
async fn replay(connection: &mut Connection, sender: &Sender<Bytes>) -> Result<(), Ended> {
    let (link, mut rest) = (Arc::clone(connection.link()), connection.take_replay());
    while let Some(replay) = rest {
        if let Some(reason) = link.closing() {
            return Err(Ended::Closed(reason));
        }
        let page = replay.next().await.map_err(Ended::Closed)?;
        for record in &page.records {
            send(sender, &connection.change(record)).await?;
            link.reached(record.scope, record.version);
        }
        link.reached(page.scope, page.reached);
        rest = page.rest;
    }
    Ok(())
}

async fn send(sender: &Sender<Bytes>, message: &[u8]) -> Result<(), Ended> {
    sender.send(event(message)).await.map_err(|_| Ended::Gone)
}

/// A message as an event. Its lines each begin anew.
fn event(message: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(message.len() + 8);
    for line in message.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one_event() {
        assert_eq!(&event(b"{\"a\":1}")[..], b"data: {\"a\":1}\n\n");
        assert_eq!(&event(b"{\n\r}")[..], b"data: {\ndata: \ndata: }\n\n");
    }

    #[test]
    fn events_are_asked_for_by_name() {
        let asks =
            |accept: &'static str| are_wanted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        assert!(asks("text/event-stream") && asks("application/json, text/event-stream;q=0.5"));
        assert!(!asks("*/*") && !are_wanted(&HeaderMap::new()));
    }
}
