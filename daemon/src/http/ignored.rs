//! The unread parts of a request, named in a header of its answer.

use std::sync::{Arc, Mutex, PoisonError};

use warp::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::sync::strangers::Strangers;

/// Names keys of the body and parameters of the query that the answer does not depend on.
pub(super) const IGNORED: HeaderName = HeaderName::from_static("ryzed-ignored");

/// The unread parts of one request. Its handler notes them, and the sender of the answer reports them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignored(Arc<Mutex<Strangers>>);

impl Ignored {
    pub(super) fn note(&self, note: impl FnOnce(&mut Strangers)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(value) = HeaderValue::from_str(&strangers.names().join(", "))
            && !value.is_empty()
        {
            headers.insert(IGNORED, value);
        }
    }
}
