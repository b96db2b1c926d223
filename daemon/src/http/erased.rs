//! All routes and their bodies as one type each, so that layers of any type can stand round them.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use tower::util::BoxCloneSyncService;
use tower_http::BoxError;
use warp::http::{Request, Response};

/// All routes with what stands round them.
pub(super) type Whole = BoxCloneSyncService<Request<Incoming>, Response<Outgoing>, Infallible>;
// Boxed with an error type of its own: a spawned task can't hold bodies whose error is a boxed one.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// An answer whose body is boxed.
pub(super) fn erased<B>(answer: Response<B>) -> Response<Outgoing>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    answer.map(|body| body.map_err(io::Error::other).boxed_unsync())
}
