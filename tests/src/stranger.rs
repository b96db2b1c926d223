//! Somebody who can reach what stands between daemons, and may do nothing else there: a database role without a grant, a client
//! of the same Redis. Hears everything that can be heard, and says what it likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::{Redis, postgres};

/// A message on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    /// The channel.
    pub channel: String,
    /// The message.
    pub message: Vec<u8>,
}

/// A stranger who listens and sends.
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
        Self::try_at_postgres(url).await.expect("anybody may connect and listen")
    }

    /// The same where the server may be away.
    ///
    /// # Errors
    /// When it is.
    pub async fn try_at_postgres(url: &str) -> anyhow::Result<Self> {
        let (server, database) = url.rsplit_once('/').context("the URL of a database")?;
        let role = format!("stranger_of_{database}");
        let make = format!("DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$");
        postgres::psql(url, &make).map_err(anyhow::Error::msg)?;
        let (_, host) = server.rsplit_once('@').context("a URL that names a user")?;
        let own = format!("postgres://{role}@{host}/{database}");
        let (client, mut connection) = tokio_postgres::connect(&own, NoTls).await?;
        let heard: Arc<Mutex<Vec<Overheard>>> = Arc::default();
        let ear = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notice) = message {
                    note(&ear, notice.channel(), notice.payload().as_bytes());
                }
            }
        });
        client.batch_execute("LISTEN ryzed; LISTEN ryzed_bridge").await?;
        Ok(Self { heard, mouth: Mouth::Postgres(client) })
    }

    /// A client of this Redis that hears all channels.
    #[must_use]
    pub fn at_redis(redis: &Redis) -> Self {
        Self::try_at_redis(redis.port(), None).expect("Redis is there")
    }

    /// The same with a user that needs no password.
    #[must_use]
    pub fn at_redis_as(redis: &Redis, user: &str) -> Self {
        Self::try_at_redis(redis.port(), Some(user)).expect("Redis is there")
    }

    /// The same where it may be away.
    ///
    /// # Errors
    /// When it is.
    pub fn try_at_redis(port: u16, user: Option<&str>) -> anyhow::Result<Self> {
        let heard: Arc<Mutex<Vec<Overheard>>> = Arc::default();
        let (mut listening, ear) = (Line::to(port, user)?, Arc::clone(&heard));
        listening.ask(&[b"PSUBSCRIBE", b"*"])?;
        std::thread::spawn(move || {
            while let Ok(parts) = listening.answer() {
                if let [_, _, channel, message] = parts.as_slice() {
                    note(&ear, &String::from_utf8_lossy(channel), message);
                }
            }
        });
        Ok(Self { heard, mouth: Mouth::Redis(Mutex::new(Line::to(port, user)?)) })
    }

    /// Everything that it has heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Overheard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything that it has heard since it was last asked so.
    #[must_use]
    pub fn heard_since(&self) -> Vec<Overheard> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says something on a channel.
    pub async fn say(&self, channel: &str, message: &[u8]) {
        self.say_all(&[Overheard { channel: channel.into(), message: message.into() }]).await;
    }

    /// Says many things at once.
    pub async fn say_all(&self, all: &[Overheard]) {
        self.try_say_all(all).await.expect("anybody may say what they like");
    }

    /// The same where nobody may be there to hear it.
    ///
    /// # Errors
    /// When nobody is.
    pub async fn try_say_all(&self, all: &[Overheard]) -> anyhow::Result<()> {
        match &self.mouth {
            Mouth::Postgres(client) => {
                // What is no text can't be said here.
                let texts = all.iter().map(|said| (&said.channel, String::from_utf8_lossy(&said.message)));
                let texts: Vec<_> = texts.filter(|(_, text)| text.len() < 8000 && !text.contains('\0')).collect();
                for part in texts.chunks(1000) {
                    let notices =
                        part.iter().map(|(channel, text)| format!("pg_notify($c${channel}$c$, $m${text}$m$)"));
                    let notices: Vec<String> = notices.collect();
                    client.batch_execute(&format!("SELECT {}", notices.join(", "))).await?;
                }
            }
            Mouth::Redis(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                for said in all {
                    line.send(&[b"PUBLISH", said.channel.as_bytes(), &said.message])?;
                }
                for _ in all {
                    line.answer()?;
                }
            }
        }
        Ok(())
    }

    /// The channels on which somebody listens.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        self.command(&["PUBSUB", "CHANNELS"]).unwrap_or_else(|_| vec!["ryzed_bridge".into()])
    }

    /// Has Redis do something.
    ///
    /// # Errors
    /// When it does not answer, or is none.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Vec<String>> {
        let Mouth::Redis(line) = &self.mouth else { bail!("this is no Redis") };
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let answer = line.lock().unwrap_or_else(PoisonError::into_inner).ask(&words)?;
        Ok(answer.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
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
    fn to(port: u16, user: Option<&str>) -> anyhow::Result<Self> {
        let writer = TcpStream::connect(("127.0.0.1", port))?;
        writer.set_nodelay(true)?;
        let mut line = Self { reader: BufReader::new(writer.try_clone()?), writer };
        if let Some(user) = user {
            line.ask(&[b"AUTH", user.as_bytes(), b"any"])?;
        }
        Ok(line)
    }

    fn ask(&mut self, parts: &[&[u8]]) -> anyhow::Result<Vec<Vec<u8>>> {
        self.send(parts)?;
        self.answer()
    }

    fn send(&mut self, parts: &[&[u8]]) -> anyhow::Result<()> {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        Ok(self.writer.write_all(&bytes)?)
    }

    /// The parts of the next answer, each as bytes.
    fn answer(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut line = String::new();
        ensure!(self.reader.read_line(&mut line)? > 0, "Redis has gone");
        let (kind, rest) = line.trim_end().split_at_checked(1).context("no answer of Redis")?;
        Ok(match kind {
            "*" => {
                let count: usize = rest.parse()?;
                (0..count).map(|_| Ok(self.answer()?.concat())).collect::<anyhow::Result<_>>()?
            }
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                vec![bytes]
            }
            _ => vec![rest.as_bytes().to_vec()],
        })
    }
}
