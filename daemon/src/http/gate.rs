//! The checks before a request gets anywhere: its origin, whether it brings a token at all, and whether there is memory
//! for its header.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use tower::ServiceExt;
use warp::http::header::AUTHORIZATION;
use warp::http::{Request, Response, StatusCode};

use super::App;
use super::erased::{Outgoing, Whole, erased};
use super::observe::{Identity, Peer};
use super::origin::Origin;
use super::problem::Problem;
use super::routes::is_socket;
use crate::budget::Budget;
use crate::config::TrustedProxy;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    budget: Arc<Budget>,
    trusted: Arc<[TrustedProxy]>,
}

impl Gate {
    pub(super) fn new(app: &Arc<App>) -> Self {
        let trusted = app.config.server.trusted_proxies.as_slice().into();
        Self { budget: Arc::clone(&app.service.budget), trusted }
    }

    /// Passes the request on, or answers in its place.
    pub(super) async fn pass(
        self,
        mut request: Request<Incoming>,
        whole: Whole,
    ) -> Result<Response<Outgoing>, Infallible> {
        let _header = match self.budget.header(size(&request)) {
            Ok(header) => header,
            Err(refused) => return Ok(refusal(refused.into())),
        };
        let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else { return whole.oneshot(request).await };
        let origin = Origin::of(&self.budget, peer.ip(), request.headers(), &self.trusted);
        if let Err(refused) = origin.may_try() {
            return Ok(refusal(refused.into()));
        }
        request.extensions_mut().insert(origin.clone());
        let opens_socket = is_socket(request.uri().path());
        if !opens_socket && !request.headers().contains_key(AUTHORIZATION) {
            origin.was_stranger();
            return whole.oneshot(request).await;
        }
        let identity = request.extensions().get::<Identity>().cloned().unwrap_or_default();
        let answer = whole.oneshot(request).await?;
        // A socket's token may come later; then who listens for it counts who was nobody.
        let status = answer.status();
        // Nor is anybody a stranger whose token can't be checked right now.
        if !identity.is_known() && status != StatusCode::SWITCHING_PROTOCOLS && !status.is_server_error() {
            origin.was_stranger();
        }
        Ok(answer)
    }
}

fn refusal(problem: Problem) -> Response<Outgoing> {
    erased(problem.into_response())
}

/// The size of the header, in bytes.
fn size(request: &Request<Incoming>) -> usize {
    /// The library's overhead for each of them.
    const EACH: usize = 100;
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + EACH);
    headers.sum::<usize>() + request.uri().path_and_query().map_or(0, |path| path.as_str().len())
}
