//! Somebody who can reach what stands between daemons, and may do nothing else there: a database role without a grant, a client
//! of the same Redis. Hears everything that can be heard, and says what it likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::{Redis, postgres};

/// What was said on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    /// The channel.
    pub channel: String,
    /// The message.
    pub message: Vec<u8>,
}

/// Somebody who listens and speaks.
#[derive(Debug)]
pub struct Stranger {
    heard: Arc<Mutex<Vec<Overheard>>>,
    mouth: Mouth,
}

enum Mouth {
    Postgres(Client),
    Redis(Mutex<Line>),
}

impl std::fmt::Debug for Mouth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if matches!(self, Self::Postgres(_)) { "PostgreSQL" } else { "Redis" })
    }
}

impl Stranger {
    /// A role that may connect to the database, made for the purpose.
    pub async fn at_postgres(url: &str) -> Self {
        let (server, database) = url.rsplit_once('/').expect("the URL of a database");
        let role = format!("stranger_of_{database}");
        let make = format!(
            "DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$; ALTER ROLE {role} LOGIN"
        );
        postgres::psql(url, &make).unwrap_or_else(|error| panic!("{error}"));
        let (_, host) = server.rsplit_once('@').expect("a URL that names a user");
        let own = format!("postgres://{role}@{host}/{database}");
        let (client, mut connection) = tokio_postgres::connect(&own, NoTls).await.expect("anybody may connect");
        let heard: Arc<Mutex<Vec<Overheard>>> = Arc::default();
        let ear = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notice) = message {
                    note(&ear, notice.channel(), notice.payload().as_bytes());
                }
            }
        });
        client.batch_execute("LISTEN ryzed; LISTEN ryzed_bridge").await.expect("anybody may listen");
        Self { heard, mouth: Mouth::Postgres(client) }
    }

    /// A client of this Redis that hears all channels.
    #[must_use]
    pub fn at_redis(redis: &Redis) -> Self {
        Self::at_redis_as(redis, None)
    }

    /// The same with a user that needs no password.
    #[must_use]
    pub fn at_redis_as(redis: &Redis, user: Option<&str>) -> Self {
        let heard: Arc<Mutex<Vec<Overheard>>> = Arc::default();
        let (mut listening, ear) = (Line::to(redis, user), Arc::clone(&heard));
        listening.send(&[b"PSUBSCRIBE", b"*"]);
        let _subscribed = listening.answer();
        std::thread::spawn(move || {
            while let Some(parts) = listening.answer() {
                if let [_, _, channel, message] = parts.as_slice() {
                    note(&ear, &String::from_utf8_lossy(channel), message);
                }
            }
        });
        Self { heard, mouth: Mouth::Redis(Mutex::new(Line::to(redis, user))) }
    }

    /// Everything that it has heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Overheard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something on a channel.
    pub async fn say(&self, channel: &str, message: &[u8]) {
        self.say_all(&[Overheard { channel: channel.into(), message: message.into() }]).await;
    }

    /// Says many things at once.
    pub async fn say_all(&self, all: &[Overheard]) {
        match &self.mouth {
            Mouth::Postgres(client) => {
                // What is no text can't be said here.
                let texts = all.iter().map(|said| (&said.channel, String::from_utf8_lossy(&said.message)));
                let texts: Vec<_> = texts.filter(|(_, text)| text.len() < 8000 && !text.contains('\0')).collect();
                for part in texts.chunks(1000) {
                    let notices =
                        part.iter().map(|(channel, text)| format!("pg_notify($c${channel}$c$, $m${text}$m$)"));
                    let notices: Vec<String> = notices.collect();
                    client.batch_execute(&format!("SELECT {}", notices.join(", "))).await.expect("anybody may notify");
                }
            }
            Mouth::Redis(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                for said in all {
                    line.send(&[b"PUBLISH", said.channel.as_bytes(), &said.message]);
                }
                for _ in all {
                    line.answer().expect("an answer of Redis");
                }
            }
        }
    }

    /// The channels on which somebody listens.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        match &self.mouth {
            Mouth::Postgres(_) => vec!["ryzed_bridge".into()],
            Mouth::Redis(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                line.send(&[b"PUBSUB", b"CHANNELS"]);
                let channels = line.answer().expect("an answer of Redis");
                channels.iter().map(|channel| String::from_utf8_lossy(channel).into_owned()).collect()
            }
        }
    }
}

fn note(heard: &Mutex<Vec<Overheard>>, channel: &str, message: &[u8]) {
    let one = Overheard { channel: channel.to_owned(), message: message.to_vec() };
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(one);
}

/// A connection that speaks Redis' protocol, as far as it is needed here.
struct Line {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Line {
    fn to(redis: &Redis, user: Option<&str>) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", redis.port())).expect("Redis is there");
        writer.set_nodelay(true).expect("an option of the socket");
        let mut line = Self { reader: BufReader::new(writer.try_clone().expect("the same socket")), writer };
        if let Some(user) = user {
            line.send(&[b"AUTH", user.as_bytes(), b"any"]);
            line.answer().expect("an answer of Redis");
        }
        line
    }

    fn send(&mut self, parts: &[&[u8]]) {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.writer.write_all(&bytes).expect("Redis takes it");
    }

    /// The parts of the next answer, each as bytes; none when the connection has ended.
    fn answer(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let rest = line.trim_end().get(1..)?.to_owned();
        match line.as_bytes()[0] {
            b'*' => {
                let count: usize = rest.parse().ok()?;
                (0..count).map(|_| self.answer()?.into_iter().next()).collect()
            }
            b'$' => {
                let mut bytes = vec![0; rest.parse::<usize>().ok()? + 2];
                self.reader.read_exact(&mut bytes).ok()?;
                bytes.truncate(bytes.len() - 2);
                Some(vec![bytes])
            }
            _ => Some(vec![rest.into_bytes()]),
        }
    }
}
