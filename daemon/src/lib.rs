//! `ryzed`: a self-hosted daemon that keeps a person's data in step on all their devices in real time.
//!
//! The map is `ARCHITECTURE.md`; `tests/pages.rs` holds it to the tree. Who may know whom: `main` → [`http`], [`actors`]
//! → [`service`] → [`sync`], [`store`] → `ryzed_adapters`. Only [`store`] knows diesel; only [`http`] knows warp.

// Nothing fails because nobody reads what it says.
#![warn(clippy::print_stderr, clippy::print_stdout)]

/// Writes a line to the standard error for the person at the terminal, who may have gone.
macro_rules! aside {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($what)*);
    }};
}

pub mod actors;
pub mod auth;
mod backoff;
pub mod budget;
pub mod carrier;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod metrics;
pub mod private;
pub mod progress;
pub mod service;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod transfer;
