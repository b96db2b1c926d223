//! The connection that listens for writes from outside, and for other instances. Its notices are only hints; after the
//! connection was lost, it reports that something may have happened meanwhile.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::server::connect;
use crate::backoff::Backoff;
use crate::store::{OnNotice, OnOutsideWrite};

/// The first pause before the connection is tried again; the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The channel on which instances speak to each other.
const BRIDGE: &str = "ryzed_bridge";

/// The notice of a trigger that has booked nothing, on the channel of writes from outside.
const STOPPED: &str = "stopped";

/// Listens until it is aborted.
pub(super) fn start(
    url: String,
    outside: OnOutsideWrite,
    ear: Arc<OnceLock<OnNotice>>,
    look: OnOutsideWrite,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut backoff, mut is_told) = (Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), false);
        loop {
            let begun = Instant::now();
            let lost = listen(&url, &outside, &ear, &look, &mut is_told).await;
            if begun.elapsed() > LONGEST_PAUSE {
                backoff.reset();
                is_told = false;
            }
            // Once, however often it is tried again.
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(
                    reason = lost,
                    "LISTEN lost: until it is restored, the sweep notices writes from outside"
                );
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    })
}

/// Listens until the connection fails; returns the reason.
async fn listen(
    url: &str,
    outside: &OnOutsideWrite,
    ear: &OnceLock<OnNotice>,
    look: &OnOutsideWrite,
    is_told: &mut bool,
) -> String {
    let listening = async {
        let mut connection = connect(url).await?;
        connection.batch_execute("SET statement_timeout = 0; LISTEN ryzed; LISTEN ryzed_bridge").await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(connection)
    };
    let mut connection = match listening.await {
        Ok(connection) => connection,
        Err(error) => return error.to_string(),
    };
    if std::mem::take(is_told) {
        tracing::info!("LISTEN restored");
    }
    // Whatever was written while nobody listened.
    outside();
    let mut notices = std::pin::pin!(connection.notifications_stream());
    while let Some(Ok(notice)) = notices.next().await {
        match ear.get() {
            Some(ear) if notice.channel == BRIDGE => ear(&notice.payload),
            // Of another instance, before there is anybody to be told.
            None if notice.channel == BRIDGE => {}
            _ if notice.payload == STOPPED => look(),
            _ => outside(),
        }
    }
    "the connection was lost".into()
}
