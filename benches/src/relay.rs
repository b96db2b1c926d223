//! The yardstick: the least that a server of these sockets could do. It checks the token, stores each change, and hands it to
//! the person's other devices in the frames of the protocol. It decides nothing, keeps no index and pulls nothing.
//!
//! The daemon's distance from it is the price of everything that it does beside.

mod hall;
mod postgres;
mod socket;
mod sqlite;
mod token;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

use hall::Hall;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 65_535;
/// Changes that wait to be written, for each connection to the database.
const QUEUE: usize = 8192;

/// The place where changes are stored before anybody hears of them.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file of SQLite.
    Sqlite {
        /// Its path.
        file: String,
        /// True: a commit waits for the disk, as the daemon's does.
        is_full: bool,
    },
    /// The URL of a database of PostgreSQL.
    Postgres(String),
}

/// A fault that tests build in, to see that the generator finds it. It strikes each tenth change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody else hears of it.
    Drop,
    /// The others hear of it twice.
    Double,
    /// The writing device hears of it as if it were another's.
    Echo,
    /// It comes with a version of long ago.
    Old,
}

/// A relay that listens.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    hall: Arc<Hall>,
    queues: Vec<mpsc::Sender<hall::Change>>,
}

impl Relay {
    /// Listens on an address. The database must be new, or this relay's own, and is emptied.
    ///
    /// # Errors
    /// When the address is taken, or the database is not to be had.
    pub async fn open(address: &str, secret: &str, place: &Place, fault: Option<Fault>) -> Result<Self> {
        let address = address.parse().with_context(|| format!("{address} is no address such as 127.0.0.1:8437"))?;
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address).with_context(|| format!("nobody can listen on {address}"))?;
        let listener = socket.listen(BACKLOG)?;
        let hall = Arc::new(Hall::new(secret, fault));
        let queues = match place {
            Place::Sqlite { file, is_full } => vec![sqlite::start(file, *is_full, Arc::clone(&hall))?],
            Place::Postgres(url) => postgres::start(url, &hall).await?,
        };
        Ok(Self { listener, hall, queues })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn address(&self) -> Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// Serves until the process ends.
    pub async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::spawn(socket::serve(Arc::clone(&self.hall), self.queues.clone(), stream)))
                }
                // Out of files: some will be given back.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }
}
