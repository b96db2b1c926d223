//! Requests that mean one thing: what a proxy in front may have understood otherwise than the daemon would is refused, and nothing more
//! is answered over its connection. What hyper refuses by itself is not looked at again.

use warp::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use warp::http::{Method, Request, Version};
use warp::reply::Response;

use super::problem::{Kind, Problem};

/// The answer to a request that leads nowhere; none when it may go on.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    if let Some(problem) = pathless(request) {
        return Some(problem.into_response());
    }
    let detail = ambiguity(request)?;
    let mut answer = Problem::new(Kind::Ambiguous, detail).into_response();
    // HTTP/2 has no such header, and tells requests apart by itself.
    if request.version() < Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Some(answer)
}

/// The routes take it for granted that the first line names a path.
fn pathless<B>(request: &Request<B>) -> Option<Problem> {
    if request.method() == Method::CONNECT {
        return Some(Problem::wrong_method(&[]));
    }
    let has_path = request.uri().path_and_query().is_some();
    let detail = "a request's first line names a path, such as GET /api/realtime/health";
    (!has_path).then(|| Problem::new(Kind::BadRequestLine, detail))
}

/// The advice against an ambiguity, if the request could be understood in two ways.
fn ambiguity<B>(request: &Request<B>) -> Option<&'static str> {
    let headers = request.headers();
    let is_repeated = |name| headers.get_all(name).iter().nth(1).is_some();
    if is_repeated(HOST) {
        return Some("there is more than one Host; send one");
    }
    if is_repeated(AUTHORIZATION) {
        return Some("there is more than one Authorization; send one token");
    }
    let is_measured_twice = headers.contains_key(TRANSFER_ENCODING)
        && (headers.contains_key(CONTENT_LENGTH) || is_repeated(TRANSFER_ENCODING));
    is_measured_twice.then_some("the body's length is told in two ways; send Content-Length or one Transfer-Encoding")
}
