//! `/export`: everything the caller owns, a chunk at a time, as fast as it is read.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use super::super::answer::Answer;
use super::super::call::Call;
use crate::auth::Caller;
use crate::budget::LONG_READ;
use crate::service::ServiceError;

/// Chunks that may wait for a slow reader.
const WAITING_CHUNKS: usize = 2;

/// `GET /export`.
pub(in crate::http) async fn everything(call: Call, caller: Caller) -> Answer {
    call.app.service.budget.charge(caller.user, LONG_READ)?;
    let mut chunks = call.app.service.export_own(&caller);
    // What fails at the start is still an error with a status; later only the connection can be cut.
    let first = chunks.next().await.transpose()?;
    let (sender, mut receiver) = mpsc::channel(WAITING_CHUNKS);
    let whole = stream::iter(first.map(Ok)).chain(chunks).boxed();
    // It counts as one of the caller's requests for as long as it goes on.
    tokio::spawn(async move {
        pump(whole, sender).await;
        drop(call);
    });
    let mut response = warp::reply::stream(stream::poll_fn(move |context| receiver.poll_recv(context))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(r#"attachment; filename="ryzed-export.ndjson""#));
    Ok(response)
}

/// Ends when the reader is gone, and with it the reading of the database.
async fn pump(
    mut chunks: BoxStream<'static, Result<bytes::Bytes, ServiceError>>,
    sender: mpsc::Sender<Result<bytes::Bytes, ServiceError>>,
) {
    while let Some(chunk) = chunks.next().await {
        if let Err(error) = &chunk {
            tracing::error!(%error, "an export ended early");
        }
        if sender.send(chunk).await.is_err() {
            return;
        }
    }
}
