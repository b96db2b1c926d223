//! One connection to Redis, whatever stands there: a server, a Sentinel's master, a Cluster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, RedisResult, TlsMode, Value,
};
use ring::hmac;
use tokio::sync::Notify;

use super::Listener;
use super::trust::{Trust, Way};
use crate::config::{RedisAddress, RedisKind};

/// The time limit for an answer, and for a connection to be made.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first byte of a probe; no message begins with it.
const PROBE: u8 = b'~';
/// The bytes of a probe's number.
const NUMBER: usize = size_of::<u64>();

/// An open connection.
#[derive(Clone)]
pub(super) enum RedisLine {
    /// To one server.
    Single(MultiplexedConnection),
    /// To a Cluster; channels are sharded.
    Cluster(ClusterConnection),
}

/// The signals of a connection, besides its messages.
pub(super) struct Signs {
    /// Rings when the connection is gone.
    pub broken: Notify,
    /// Rings when the first probe came back.
    pub first: Notify,
    /// The last probe that came back.
    returned: AtomicU64,
    /// The key that tells this connection's own probes from others.
    key: hmac::Key,
    trust: Arc<Trust>,
    listener: Listener,
    /// True for a channel that should be subscribed to.
    is_wanted: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Signs {
    pub(super) fn new(
        trust: Arc<Trust>,
        listener: Listener,
        is_wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (broken, first, returned) = (Notify::new(), Notify::new(), AtomicU64::new(0));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        Arc::new(Self { broken, first, returned, key, trust, listener, is_wanted: Box::new(is_wanted) })
    }

    /// The last probe that came back.
    pub(super) fn returned(&self) -> u64 {
        self.returned.load(Ordering::Acquire)
    }

    /// The probe of a number, which nobody else can make, nor another connection.
    pub(super) fn probe(&self, number: u64) -> Bytes {
        let number = number.to_be_bytes();
        [&[PROBE], &number[..], hmac::sign(&self.key, &number).as_ref()].concat().into()
    }

    /// Takes what the server pushes; called from the connection's own task, so that nothing waits in between.
    fn take(&self, push: PushInfo) {
        match (push.kind, push.data.as_slice()) {
            (PushKind::Message | PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(message), ..]) => {
                self.heard(channel, message);
            }
            (PushKind::Disconnection, _) => self.broken.notify_one(),
            // A slot of a Cluster has moved away with its channels: everything is begun anew.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..])
                if std::str::from_utf8(channel).is_ok_and(&self.is_wanted) =>
            {
                self.broken.notify_one();
            }
            _ => {}
        }
    }

    fn heard(&self, channel: &[u8], message: &[u8]) {
        if let [PROBE, probe @ ..] = message
            && let Some((number, tag)) = probe.split_first_chunk::<NUMBER>()
            && hmac::verify(&self.key, number, tag).is_ok()
        {
            if self.returned.fetch_max(u64::from_be_bytes(*number), Ordering::AcqRel) == 0 {
                self.first.notify_one();
            }
            return;
        }
        let heard = self.trust.hear(Way::Redis, &String::from_utf8_lossy(channel), message);
        heard.into_iter().for_each(|heard| (self.listener)(heard));
    }
}

impl RedisLine {
    /// Opens one.
    pub(super) async fn open(address: &RedisAddress, signs: &Arc<Signs>) -> RedisResult<Self> {
        let signs = Arc::clone(signs);
        let pushed = move |push: PushInfo| {
            signs.take(push);
            Ok::<_, std::convert::Infallible>(())
        };
        if address.kind == RedisKind::Cluster {
            let nodes = places(address).map(IntoConnectionInfo::into_connection_info);
            let mut builder = ClusterClientBuilder::new(nodes.collect::<RedisResult<Vec<_>>>()?)
                .use_protocol(ProtocolVersion::RESP3)
                .connection_timeout(PATIENCE)
                .response_timeout(PATIENCE)
                .overall_response_timeout(Some(2 * PATIENCE))
                .push_sender(pushed);
            if let Some(user) = &address.user {
                builder = builder.username(user);
            }
            if let Some(password) = &address.password {
                builder = builder.password(password);
            }
            if address.tls {
                builder = builder.tls(TlsMode::Secure);
            }
            return builder.build()?.get_async_connection().await.map(Self::Cluster);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(pushed);
        let client = match &address.kind {
            RedisKind::Sentinel(master) => master_of(address, master).await?,
            _ => single(address)?,
        };
        client.get_multiplexed_async_connection_with_config(&config).await.map(Self::Single)
    }

    /// Subscribes to channels; done when the server has said so.
    pub(super) async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            Self::Single(_) if channels.is_empty() => Ok(()),
            Self::Single(connection) => connection.subscribe(channels).await,
            // Channels of different slots can't be named in one command.
            Self::Cluster(connection) => {
                all(channels, connection, |mut connection, channel| async move { connection.ssubscribe(channel).await })
                    .await
            }
        }
    }

    /// Unsubscribes from channels.
    pub(super) async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        match self {
            Self::Single(_) if channels.is_empty() => Ok(()),
            Self::Single(connection) => connection.unsubscribe(channels).await,
            Self::Cluster(connection) => {
                all(
                    channels,
                    connection,
                    |mut connection, channel| async move { connection.sunsubscribe(channel).await },
                )
                .await
            }
        }
    }

    /// Publishes messages, all sent before it waits for any answer.
    pub(super) async fn publish(&mut self, messages: &[(String, Bytes)]) -> RedisResult<()> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = redis::pipe();
                for (channel, message) in messages {
                    pipeline.cmd("PUBLISH").arg(channel).arg(message.as_ref()).ignore();
                }
                pipeline.query_async(connection).await
            }
            Self::Cluster(connection) => {
                let commands: Vec<Cmd> = messages
                    .iter()
                    .map(|(channel, message)| {
                        let mut command = redis::cmd("SPUBLISH");
                        command.arg(channel).arg(message.as_ref());
                        command
                    })
                    .collect();
                let sending = commands.iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(command).await.map(|_| ()) }
                });
                join_all(sending).await.into_iter().collect()
            }
        }
    }
}

async fn all<'c, F>(
    channels: &'c [String],
    connection: &ClusterConnection,
    command: impl Fn(ClusterConnection, &'c String) -> F,
) -> RedisResult<()>
where
    F: Future<Output = RedisResult<()>>,
{
    join_all(channels.iter().map(|channel| command(connection.clone(), channel))).await.into_iter().collect()
}

fn places(address: &RedisAddress) -> impl Iterator<Item = ConnectionAddr> + '_ {
    address.hosts.iter().cloned().map(|(host, port)| {
        if address.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    })
}

fn single(address: &RedisAddress) -> RedisResult<Client> {
    let place = places(address).next().ok_or((redis::ErrorKind::InvalidClientConfig, "no host is named"))?;
    let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(address.database);
    if let Some(user) = &address.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &address.password {
        settings = settings.set_password(password);
    }
    Client::open(place.into_connection_info()?.set_redis_settings(settings))
}

/// Asks the Sentinels anew, one after the other, since the master may be another by now.
async fn master_of(address: &RedisAddress, master: &str) -> RedisResult<Client> {
    let mut trouble = (redis::ErrorKind::InvalidClientConfig, "no Sentinel is named").into();
    for place in places(address) {
        // The password is for the master; a Sentinel that asks for one gets the same, and none that does not takes it.
        for with_login in [false, true] {
            if with_login && address.password.is_none() {
                continue;
            }
            let mut sentinel = sentinel(address, place.clone(), master, with_login)?;
            match tokio::time::timeout(PATIENCE, sentinel.async_get_client()).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => trouble = error,
                Err(_) => {
                    trouble = (redis::ErrorKind::Io, "no Sentinel answers").into();
                    break;
                }
            }
        }
    }
    Err(trouble)
}

fn sentinel(
    address: &RedisAddress,
    place: ConnectionAddr,
    master: &str,
    with_login: bool,
) -> RedisResult<SentinelClient> {
    let mut builder = SentinelClientBuilder::new([place], master, SentinelServerType::Master)?
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_redis_db(address.database);
    if let Some(user) = &address.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &address.password {
        builder = builder.set_client_to_redis_password(password);
        if with_login {
            builder = builder.set_client_to_sentinel_password(password);
            if let Some(user) = &address.user {
                builder = builder.set_client_to_sentinel_username(user);
            }
        }
    }
    if address.tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    builder.build()
}

/// Locks state that the carriers and their tasks share; nothing done under the lock can panic halfway.
pub(super) fn locked<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use uuid::Uuid;

    use super::*;

    fn pushed(signs: &Signs, message: &[u8]) {
        let data = [&b"channel"[..], message].map(|part| Value::BulkString(part.to_vec())).to_vec();
        signs.take(PushInfo { kind: PushKind::Message, data });
    }

    #[test]
    fn only_a_connections_own_probe_comes_back() {
        let told: Arc<AtomicUsize> = Arc::default();
        let ear = Arc::clone(&told);
        let ear: Listener = Arc::new(move |_| _ = ear.fetch_add(1, Ordering::Relaxed));
        let signs = || Signs::new(Arc::new(Trust::new(Uuid::nil(), b"key", "e")), Arc::clone(&ear), |_| true);
        let (mine, other) = (signs(), signs());
        let with_another_number = [&[PROBE][..], &9_u64.to_be_bytes(), &mine.probe(3)[1 + NUMBER..]].concat();
        for forged in [&b"~1"[..], b"~", b"~18446744073709551615", b"", &other.probe(2), &with_another_number] {
            pushed(&mine, forged);
            assert_eq!(mine.returned(), 0, "{forged:?}");
        }
        for number in [1, 3, 2] {
            pushed(&mine, &mine.probe(number));
        }
        assert_eq!((mine.returned(), told.load(Ordering::Relaxed)), (3, 0));
    }
}
