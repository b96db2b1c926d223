//! A session with PostgreSQL that a story holds open, so that it decides what happens meanwhile.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

/// The time that an expected event may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open session. It ends, and rolls back, with the value.
#[derive(Debug)]
pub struct Session {
    client: Client,
    notices: mpsc::UnboundedReceiver<String>,
}

impl Session {
    /// Connects.
    pub async fn open(url: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
        let (tell, notices) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notice) = message {
                    let _ = tell.send(notice.channel().to_owned());
                }
            }
        });
        Self { client, notices }
    }

    /// Connects and runs statements.
    pub async fn that(url: &str, statements: &str) -> Self {
        let session = Self::open(url).await;
        session.run(statements).await;
        session
    }

    /// Runs statements.
    pub async fn run(&self, statements: &str) {
        self.client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Waits until so many others wait for a lock that it holds, or for one who does.
    pub async fn is_waited_for_by(&self, count: usize) {
        let begun = Instant::now();
        let waiting = "WITH RECURSIVE waiting AS (SELECT pg_backend_pid() AS pid UNION SELECT l.pid FROM pg_locks l \
            JOIN waiting w ON NOT l.granted AND w.pid = ANY (pg_blocking_pids(l.pid))) \
            SELECT pid FROM waiting WHERE pid <> pg_backend_pid()";
        loop {
            let rows = self.client.simple_query(waiting).await.expect("an answer");
            let found = rows.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
            if found >= count {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found} wait for it and not {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The channel of the next notice that it listens to.
    pub async fn notice(&mut self) -> String {
        let notice = tokio::time::timeout(PATIENCE, self.notices.recv()).await;
        notice.expect("a notice in time").expect("an open session")
    }
}
