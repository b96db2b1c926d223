//! The connection that hears of writes from outside. What it tells is only a hint; when it was cut, it tells that
//! something may have happened meanwhile.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::session::connect;
use crate::store::OnOutsideWrite;

/// The first pause before the connection is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens until it is aborted.
pub(super) fn start(url: String, outside: OnOutsideWrite) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            match listen(&url, &outside).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => tracing::warn!(%error, "can't hear of writes from outside; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

/// `Ok` when the connection stood and was lost.
async fn listen(url: &str, outside: &OnOutsideWrite) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = connect(url).await?;
    connection.batch_execute("SET statement_timeout = 0; LISTEN ryzed").await?;
    // Whatever was written while nobody listened.
    outside();
    let mut notices = std::pin::pin!(connection.notifications_stream());
    while let Some(Ok(_)) = notices.next().await {
        outside();
    }
    tracing::warn!("the connection that hears of writes from outside was lost");
    Ok(())
}
