//! The tools of the stories: a real daemon in a folder of its own, people with tokens, HTTP, sockets, and a small
//! honest client. It knows the daemon only from outside, and no database but through [`Database`].

pub mod account;
pub mod adopted;
pub mod api;
pub mod certificates;
pub mod change;
pub mod command;
pub mod convergence;
pub mod daemon;
pub mod database;
pub mod device;
pub mod digest;
pub mod events;
pub mod foreground;
pub mod hostile;
pub mod instances;
pub mod jwt;
pub mod logged;
pub mod metrics;
pub mod moving;
pub mod person;
pub mod polling;
pub mod pooler;
mod ports;
pub mod postgres;
mod process;
pub mod proxy;
pub mod readers;
pub mod redis;
pub mod rows;
pub mod session;
pub mod socket;
pub mod stranger;
pub mod supervision;

pub use account::Account;
pub use adopted::Application;
pub use api::{Answer, Api};
pub use change::{Change, delete, insert, update, upsert};
pub use command::{Ran, flat, proposed};
pub use daemon::{Builder, Daemon};
pub use database::Database;
pub use device::Device;
pub use jwt::SigningKey;
pub use metrics::Metrics;
pub use person::{Person, Token};
pub use proxy::Proxy;
pub use redis::Redis;
pub use session::Session;
pub use socket::{Connect, Socket, TokenIn};

/// The secret that the daemon under test and its people share.
pub const SECRET: &str = "known to the stories and to nobody else, and long enough for HS256";
