//! From a path and its endpoints to an answer: finding the endpoint, asking for its caller, catching panics.

use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::HeaderMap;
use warp::http::{Method, Version};
use warp::path::FullPath;
use warp::reply::Response;

use super::answer::Answer;
use super::call::{Call, Request};
use super::observe::Identity;
use super::problem::Problem;
use super::{App, SocketFilter};
use crate::auth::Caller;

/// A path that may have one named part.
type Path = BoxedFilter<(Option<String>,)>;

/// A path and what can be asked of it.
pub(super) struct Route {
    /// From the root; a part in braces is the handler's [`Call::name`].
    pub(super) path: &'static str,
    /// True if only this spelling matches, without a trailing slash: proxies that block it compare it to the letter.
    pub(super) is_exact: bool,
    pub(super) endpoints: Vec<Endpoint>,
}

/// One method of a path.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// The parameters of the query that it reads; none where nobody looks at them.
    pub(super) parameters: Option<&'static [&'static str]>,
    run: Box<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>,
}

impl Endpoint {
    /// The same, reading these parameters of the query and no others.
    pub(super) fn reads(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = Some(parameters);
        self
    }
}

fn on<F, R>(method: Method, handler: F) -> Endpoint
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Endpoint { method, parameters: None, run: Box::new(move |call| handler(call).boxed()) }
}

macro_rules! methods { ($($name:ident $method:ident),*) => { $(
    pub(super) fn $name<F, R>(handler: F) -> Endpoint
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        on(Method::$method, handler)
    }
)* } }
methods!(get GET, post POST, patch PATCH, delete DELETE);

/// A handler that needs to know who calls; without a good token it is not reached. On first contact the caller's row is made.
pub(super) fn user<F, R>(handler: F) -> impl Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync + 'static
where
    F: Fn(Call, Caller) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    caller(move |call: Call, caller: Caller| async move {
        call.app.service.ensure_user(&caller).await?;
        handler(call, caller).await
    })
}

/// The same for a handler that asks nothing of the database on the caller's behalf, so that nothing else would refuse a token
/// that was revoked.
pub(super) fn known<F, R>(handler: F) -> impl Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync + 'static
where
    F: Fn(Call, Caller) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    user(move |call: Call, caller: Caller| async move {
        call.app.service.admit(&caller, None).await?;
        handler(call, caller).await
    })
}

/// The same for a handler that makes the caller's row along with what it writes.
pub(super) fn caller<F, R>(handler: F) -> impl Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync + 'static
where
    F: Fn(Call, Caller) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    move |mut call| {
        async move {
            match call.caller().await {
                Ok(caller) => handler(call, caller).await,
                Err(problem) => {
                    call.discard().await;
                    Err(problem)
                }
            }
        }
        .boxed()
    }
}

/// The filter of a template such as `/devices/{id}`; a trailing slash is no other path, unless it is exact.
fn path(template: &'static str, is_exact: bool) -> Path {
    let fits = move |full: FullPath| {
        let found = fit(template, full.as_str()).filter(|_| !is_exact || full.as_str() == template);
        ready(found.ok_or_else(warp::reject::not_found))
    };
    warp::path::full().and_then(fits).boxed()
}

/// The named part of a path that fits; the inner none when the template names none.
fn fit(template: &str, path: &str) -> Option<Option<String>> {
    let mut name = None;
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    for wanted in template.strip_suffix('/').unwrap_or(template).split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') && !segment.is_empty() {
            name = Some(segment.to_owned());
        } else if segment != wanted {
            return None;
        }
    }
    segments.next().is_none().then_some(name)
}

/// The filter of one route: it answers every request for its path, and passes on other paths.
pub(super) fn at(app: &Arc<App>, route: Route) -> SocketFilter {
    let template = route.path;
    let (app, endpoints): (_, Arc<[Endpoint]>) = (Arc::clone(app), route.endpoints.into());
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    path(template, route.is_exact)
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Version>())
        .and(warp::ext::optional::<Identity>())
        .and(warp::body::stream())
        .then(
            move |name: Option<String>,
                  method,
                  query: String,
                  headers: HeaderMap,
                  version: Option<Version>,
                  identity: Option<Identity>,
                  stream| {
                let body = StreamExt::map(stream, |part: Result<_, warp::Error>| part.map(whole)).boxed();
                identity.iter().for_each(|identity| identity.took(template));
                let request = Request { name: name.unwrap_or_default(), query, headers, version, identity, body };
                dispatch(Arc::clone(&endpoints), method, Call::new(&app, request))
            },
        )
        .boxed()
}

/// The first filter that takes the request.
pub(super) fn any(filters: Vec<SocketFilter>) -> SocketFilter {
    let whole = filters.into_iter().reduce(|first, second| first.or(second).unify().boxed());
    whole.unwrap_or_else(unknown)
}

/// Takes every request and says that there is nothing.
pub(super) fn unknown() -> SocketFilter {
    let detail = "there is nothing at this address; the protocol's documentation lists what there is";
    warp::any().map(move || Problem::not_found(detail).into_response()).boxed()
}

async fn dispatch(endpoints: Arc<[Endpoint]>, method: Method, call: Call) -> Response {
    // The server leaves out the body of an answer to HEAD.
    let wanted = if method == Method::HEAD { Method::GET } else { method };
    let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.method == wanted) else {
        return wrong_method(&endpoints).into_response();
    };
    if let Some(known) = endpoint.parameters {
        call.ignores(|ignored| {
            call.query.names().filter(|name| !known.contains(name)).for_each(|name| ignored.add(name))
        });
    }
    let ignored = call.ignored.clone();
    let mut response = match AssertUnwindSafe((endpoint.run)(call)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        // What panicked is in the log already, with the request's id.
        Err(_) => Problem::internal().into_response(),
    };
    ignored.tell(response.headers_mut());
    response
}

fn wrong_method(endpoints: &[Endpoint]) -> Problem {
    let mut known: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.method.as_str()).collect();
    if known.contains(&"GET") {
        known.push("HEAD");
    }
    Problem::wrong_method(&known)
}

fn whole(mut part: impl Buf) -> Bytes {
    part.copy_to_bytes(part.remaining())
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_template_fits_whole_paths_only() {
        let named = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(fit("/a/{id}", "/a/b"), named("b"));
        assert_eq!(fit("/a/{id}", "/a/b/"), named("b"));
        assert_eq!(fit("/a/{id}/c", "/a/b/c"), named("b"));
        assert_eq!(fit("/a", "/a"), Some(None));
        assert_eq!((fit("/", "/"), fit("/", "/a")), (Some(None), None));
        for path in ["/", "/a", "/a/", "/a//", "/a/b/c", "/b/a", "/a/b//"] {
            assert_eq!(fit("/a/{id}", path), None, "{path}");
        }
    }
}
