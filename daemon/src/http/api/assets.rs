//! The files for browsers, embedded in the binary: the client, and the demo page with its modules.

use std::hash::{DefaultHasher, Hasher};

use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName};
use warp::http::header::{
    HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use warp::reply::Response;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::precompressed::Precompressed;
use super::super::problem::Problem;

/// An embedded file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    precompressed: Precompressed,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $media_type:ident) => {
        Asset {
            name: $name,
            media_type: $media_type,
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../console/demo/", $name)),
            precompressed: Precompressed::new(),
        }
    };
}

/// Everything in `console/demo`.
static ASSETS: [Asset; 46] = [
    asset!("index.html", HTML),
    asset!("demo.css", CSS),
    asset!("device.css", CSS),
    asset!("views.css", CSS),
    asset!("icon.svg", SVG),
    asset!("announce.js", SCRIPT),
    asset!("arrival.js", SCRIPT),
    asset!("collision.js", SCRIPT),
    asset!("conflicts.js", SCRIPT),
    asset!("course.js", SCRIPT),
    asset!("day.js", SCRIPT),
    asset!("demo.js", SCRIPT),
    asset!("device.js", SCRIPT),
    asset!("diary.js", SCRIPT),
    asset!("digest.js", SCRIPT),
    asset!("drawing.js", SCRIPT),
    asset!("element.js", SCRIPT),
    asset!("english.js", SCRIPT),
    asset!("search.js", SCRIPT),
    asset!("formats.js", SCRIPT),
    asset!("french.js", SCRIPT),
    asset!("guide.js", SCRIPT),
    asset!("icons.js", SCRIPT),
    asset!("ids.js", SCRIPT),
    asset!("intervals.js", SCRIPT),
    asset!("local-storage.js", SCRIPT),
    asset!("keyed.js", SCRIPT),
    asset!("mirror.js", SCRIPT),
    asset!("pane.js", SCRIPT),
    asset!("person.js", SCRIPT),
    asset!("picker.js", SCRIPT),
    asset!("recorder.js", SCRIPT),
    asset!("run.js", SCRIPT),
    asset!("said.js", SCRIPT),
    asset!("scenes.js", SCRIPT),
    asset!("sets.js", SCRIPT),
    asset!("steps.js", SCRIPT),
    asset!("strip.js", SCRIPT),
    asset!("theme.js", SCRIPT),
    asset!("timer.js", SCRIPT),
    asset!("token.js", SCRIPT),
    asset!("took.js", SCRIPT),
    asset!("totals.js", SCRIPT),
    asset!("track.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("workout.js", SCRIPT),
];

macro_rules! client {
    ($name:literal) => {
        Asset {
            name: $name,
            media_type: SCRIPT,
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../client/dist/", $name)),
            precompressed: Precompressed::new(),
        }
    };
}

/// The client: the file that pages name, and those that it loads. `client/` has their source.
static CLIENT: [Asset; 6] = [
    client!("client.js"),
    client!("client-online.js"),
    client!("client-more.js"),
    client!("client-query.js"),
    client!("client-inspector.js"),
    client!("client-lazy.js"),
];

/// The page: its address. Its files are below it.
const PAGE: &str = "index.html";

/// The security headers of every file. The page holds a token, so nothing of others gets in, and it connects home only.
const GUARDS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Kept, but asked for again: a new release shows at once.
    (CACHE_CONTROL, "no-cache"),
    (VARY, "accept-encoding"),
];

/// `GET /client.js`.
pub(in crate::http) async fn client(call: Call) -> Answer {
    answer(&CLIENT[0], &call.headers).await
}

/// `GET /client-online.js`.
pub(in crate::http) async fn client_online(call: Call) -> Answer {
    answer(&CLIENT[1], &call.headers).await
}

/// `GET /client-more.js`.
pub(in crate::http) async fn client_more(call: Call) -> Answer {
    answer(&CLIENT[2], &call.headers).await
}

/// `GET /client-query.js`.
pub(in crate::http) async fn client_query(call: Call) -> Answer {
    answer(&CLIENT[3], &call.headers).await
}

/// `GET /client-inspector.js`.
pub(in crate::http) async fn client_inspector(call: Call) -> Answer {
    answer(&CLIENT[4], &call.headers).await
}

/// `GET /client-lazy.js`.
pub(in crate::http) async fn client_lazy(call: Call) -> Answer {
    answer(&CLIENT[5], &call.headers).await
}

/// `GET /`: there is one page to show.
pub(in crate::http) async fn root(_: Call) -> Answer {
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/demo"));
    Ok(response)
}

/// `GET /demo`.
pub(in crate::http) async fn page(call: Call) -> Answer {
    answer(of_demo(PAGE)?, &call.headers).await
}

/// `GET /demo/{file}`.
pub(in crate::http) async fn asset(call: Call) -> Answer {
    answer(of_demo(&call.name)?, &call.headers).await
}

fn of_demo(name: &str) -> Result<&'static Asset, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    asset.ok_or_else(|| Problem::not_found("the demo has no such file"))
}

async fn answer(asset: &'static Asset, asked: &HeaderMap) -> Answer {
    let tag = tag(asset.content);
    let is_known = asked
        .get(IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| known.split(',').any(|known| known.trim() == tag || known.trim() == "*"));
    let mut response = if is_known {
        let mut response = Response::new(bytes::Bytes::new().into());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let (content, encoding) = asset.precompressed.get(asset.content, asked).await;
        let mut response = Response::new(content.into());
        if let Some(encoding) = encoding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Weak, because the same content travels in several encodings.
fn tag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    format!("W/\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../console/demo")).unwrap();
        let mut there: Vec<String> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let mut embedded: Vec<&str> = ASSETS.iter().map(|asset| asset.name).collect();
        there.sort_unstable();
        embedded.sort_unstable();
        assert_eq!(embedded, there);
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let first = answer(of_demo(PAGE).unwrap(), &HeaderMap::new()).await.unwrap();
        assert_eq!((first.status().as_u16(), &first.headers()[CONTENT_TYPE]), (200, &HeaderValue::from_static(HTML)));
        let asked = HeaderMap::from_iter([(IF_NONE_MATCH, first.headers()[ETAG].clone())]);
        assert_eq!(answer(of_demo(PAGE).unwrap(), &asked).await.unwrap().status(), 304);
        assert!(of_demo("../Cargo.toml").is_err());
    }
}
