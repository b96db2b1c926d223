//! stub
/// What went wrong in the database. Never holds row contents.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, busy, out of connections or shutting down: safe to try again later.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The statement failed.
    #[error("{0}")]
    Failed(String),
}
