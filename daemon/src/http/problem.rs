//! Every error that leaves by HTTP: RFC 9457 `application/problem+json`. The only place where an error gets its status.

use std::time::Duration;

use ryzed_adapters::FieldError;
use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::reply::Response;

use super::observe::Refusal;
use crate::auth::AuthError;
use crate::budget::{Refused, Who, note_key, whole_seconds};
use crate::service::ServiceError;

/// The code of a [`FieldError`] that names a table which is not there.
const UNKNOWN_TABLE: &str = "unknown_table";
/// The number of fields that the log names, and the length limit of their names.
const FIELDS_NAMED: usize = 5;
const LONGEST_FIELD: usize = 64;
/// The retry delay when nothing better is known.
const RETRY: Duration = Duration::from_secs(5);

/// The retry delay for a table that somebody has to mend first.
const WHILE_STOPPED: Duration = Duration::from_secs(30);

/// The kinds of problems. Their names are part of the protocol: `type` is `/problems/<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body can't be read to its end.
    Unreadable,
    /// The body is not JSON.
    NotJson,
    /// Fields of the request are at fault.
    InvalidFields,
    /// A table is named that is not there.
    UnknownTable,
    /// There is no token, or a bad one.
    Unauthenticated,
    /// The token is good, but not for this.
    Forbidden,
    /// The device was revoked.
    DeviceRevoked,
    /// The token was revoked together with a device.
    TokenRevoked,
    /// The token is older than the revocation of the device.
    TokenTooOld,
    /// There is nothing at this address, or no such thing.
    NotFound,
    /// The address knows other methods.
    MethodNotAllowed,
    /// The body did not come in time.
    Timeout,
    /// There are too many of something that stays.
    LimitReached,
    /// The request is larger than a named limit.
    TooLarge,
    /// The body is encoded in a way that can't be read.
    UnsupportedEncoding,
    /// The address speaks WebSocket.
    UpgradeRequired,
    /// The request's first line names no path.
    BadRequestLine,
    /// The request is ambiguous: a proxy on the way may have understood it otherwise.
    Ambiguous,
    /// A WebSocket's opening request is none.
    BadHandshake,
    /// Too much at once; later it will do.
    TooManyRequests,
    /// The daemon's own fault.
    Internal,
    /// Something that is needed is away; trying again later is safe.
    Unavailable,
}

impl Kind {
    /// Its name, title and status.
    fn described(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Unreadable => ("unreadable-body", "The body can't be read", StatusCode::BAD_REQUEST),
            Self::NotJson => ("not-json", "The body is not JSON", StatusCode::BAD_REQUEST),
            Self::InvalidFields => {
                ("invalid-fields", "Fields of the request are at fault", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::UnknownTable => ("unknown-table", "There is no such table", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Unauthenticated => ("unauthenticated", "A valid token is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "This is not allowed", StatusCode::FORBIDDEN),
            Self::DeviceRevoked => ("device-revoked", "The device was revoked", StatusCode::FORBIDDEN),
            Self::TokenRevoked => ("token-revoked", "The token was revoked", StatusCode::UNAUTHORIZED),
            Self::TokenTooOld => ("token-too-old", "A newer token is needed", StatusCode::UNAUTHORIZED),
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "The method is not allowed here", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::Timeout => ("timeout", "The request took too long", StatusCode::REQUEST_TIMEOUT),
            Self::LimitReached => ("limit-reached", "A limit is reached", StatusCode::CONFLICT),
            Self::TooLarge => ("too-large", "The request is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedEncoding => {
                ("unsupported-encoding", "The body's encoding is not supported", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::UpgradeRequired => ("upgrade-required", "A WebSocket is needed", StatusCode::UPGRADE_REQUIRED),
            Self::BadRequestLine => {
                ("bad-request-line", "The request's first line makes no sense here", StatusCode::BAD_REQUEST)
            }
            Self::Ambiguous => {
                ("ambiguous-request", "The request can be understood in two ways", StatusCode::BAD_REQUEST)
            }
            Self::BadHandshake => ("bad-handshake", "This opens no WebSocket", StatusCode::BAD_REQUEST),
            Self::TooManyRequests => ("too-many-requests", "Too much at once", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", "The server failed", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", "The server can't do this right now", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The kind of problem for an exceeded limit, by the limit's name.
    fn of_limit(limit: &str) -> Self {
        match limit {
            "devices_per_user" => Self::LimitReached,
            "receipts_per_user" => Self::TooManyRequests,
            _ => Self::TooLarge,
        }
    }
}

/// An error as it leaves.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    // Boxed, because errors travel by value through every handler.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    /// A problem; `detail` says what to do about it.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), header: None }
    }

    /// Fields are at fault.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let kind = if errors.iter().any(|error| error.code == UNKNOWN_TABLE) {
            Kind::UnknownTable
        } else {
            Kind::InvalidFields
        };
        let detail = match errors.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.field, only.message),
            several => format!("{} fields are at fault; see errors", several.len()),
        };
        Self { errors, ..Self::new(kind, detail) }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// The daemon's own fault. What it is stands in the log, not here.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "this is not your fault; the log has more under this answer's x-request-id")
    }

    /// The address knows these methods only.
    pub(super) fn wrong_method(known: &[&str]) -> Self {
        let allowed = known.join(", ");
        let header = HeaderValue::try_from(&allowed).ok().map(|value| Box::new((ALLOW, value)));
        let detail = match known {
            [] => "no address takes this method".to_owned(),
            _ => format!("this address takes {allowed}"),
        };
        Self { header, ..Self::new(Kind::MethodNotAllowed, detail) }
    }

    /// Another token is needed. RFC 6750: without one only the scheme is named, with a bad one also what is wrong with it.
    fn bad_token(kind: Kind, detail: String) -> Self {
        let challenge = format!(r#"Bearer error="invalid_token", error_description="{detail}""#);
        let value = HeaderValue::try_from(challenge).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        Self { header: Some(Box::new((WWW_AUTHENTICATE, value))), ..Self::new(kind, detail) }
    }

    /// Come back later.
    pub(super) fn unavailable(detail: impl Into<String>, after: Duration) -> Self {
        Self::new(Kind::Unavailable, detail).after(after)
    }

    fn after(self, time: Duration) -> Self {
        let seconds = HeaderValue::from(whole_seconds(time));
        Self { header: Some(Box::new((RETRY_AFTER, seconds))), ..self }
    }

    /// The reason for the log: the daemon's own words, and of the request only the names of fields.
    fn reason(&self) -> String {
        let name = self.kind.described().0;
        match self.kind {
            Kind::NotJson | Kind::Unreadable => name.to_owned(),
            Kind::InvalidFields | Kind::UnknownTable => {
                let shown = self.errors.iter().take(FIELDS_NAMED).map(|error| {
                    let field: String = error.field.escape_debug().take(LONGEST_FIELD).collect();
                    format!("{field} ({})", error.code)
                });
                format!("{name}: {}", shown.collect::<Vec<_>>().join(", "))
            }
            _ => format!("{name}: {}", self.detail),
        }
    }

    /// The detail, with the advice that helps.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The body.
    pub(super) fn to_json(&self) -> Value {
        let (name, title, status) = self.kind.described();
        let mut body = json!({
            "type": format!("/problems/{name}"), "title": title, "status": status.as_u16(), "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        body
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut response = Response::new(self.to_json().to_string().into());
        response.extensions_mut().insert(Refusal(self.reason().into()));
        *response.status_mut() = self.kind.described().2;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header.map(|header| *header) {
            headers.insert(name, value);
        }
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::Unavailable => Self::unavailable(detail, RETRY),
            AuthError::Missing => {
                let header = Some(Box::new((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))));
                let detail = format!("{detail}; send it as `Authorization: Bearer <token>`");
                Self { header, ..Self::new(Kind::Unauthenticated, detail) }
            }
            AuthError::Expired | AuthError::Refused(_) => Self::bad_token(Kind::Unauthenticated, detail),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let kind = if refused.is_the_callers() { Kind::TooManyRequests } else { Kind::Unavailable };
        Self::new(kind, refused.to_string()).after(refused.retry_after)
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Invalid(errors) => Self::invalid(errors),
            ServiceError::NotFound(_) => Self::not_found(detail),
            ServiceError::Forbidden(_) => Self::new(Kind::Forbidden, detail),
            ServiceError::Revoked => {
                let detail = "this device was revoked; allow it again with PATCH /api/realtime/devices/{id}, by a token that was \
                              issued since";
                Self::new(Kind::DeviceRevoked, detail)
            }
            ServiceError::TokenRevoked => Self::bad_token(Kind::TokenRevoked, detail),
            ServiceError::TokenTooOld => Self::bad_token(Kind::TokenTooOld, detail),
            ServiceError::Limit { limit, .. } => {
                note_key(limit, Who::Nobody);
                Self::new(Kind::of_limit(limit), detail)
            }
            ServiceError::Busy(refused) => refused.into(),
            ServiceError::Unavailable { retry_after } => {
                Self::unavailable("the database is not available; trying again later is safe", retry_after)
            }
            ServiceError::Stopped(_) => Self::unavailable(detail, WHILE_STOPPED),
            ServiceError::Store(error) => {
                tracing::error!(%error, "the database refused");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Limit;
    use crate::store::StoreError;

    #[test]
    fn every_domain_error_has_its_status() {
        let field = |code| vec![FieldError::new("tables", code, "there is no table \"x\"")];
        let limit = |limit| ServiceError::Limit { limit, detail: "too many".into() };
        let busy = |limit| ServiceError::Busy(Refused { limit, retry_after: Duration::from_millis(1500) });
        for (error, status, kind) in [
            (ServiceError::Invalid(field("required")), 422, "/problems/invalid-fields"),
            (ServiceError::Invalid(field(UNKNOWN_TABLE)), 422, "/problems/unknown-table"),
            (ServiceError::NotFound("device"), 404, "/problems/not-found"),
            (ServiceError::Forbidden("no"), 403, "/problems/forbidden"),
            (ServiceError::Revoked, 403, "/problems/device-revoked"),
            (ServiceError::TokenRevoked, 401, "/problems/token-revoked"),
            (ServiceError::TokenTooOld, 401, "/problems/token-too-old"),
            (limit("devices_per_user"), 409, "/problems/limit-reached"),
            (limit("changes_per_request"), 413, "/problems/too-large"),
            (busy(Limit::ReadsPerUser), 429, "/problems/too-many-requests"),
            (busy(Limit::BytesInFlight), 503, "/problems/unavailable"),
            (StoreError::Unavailable("busy".into()).into(), 503, "/problems/unavailable"),
            (StoreError::Failed("no such column".into()).into(), 500, "/problems/internal"),
        ] {
            let body = Problem::from(error).to_json();
            assert_eq!((&body["status"], &body["type"]), (&status.into(), &kind.into()), "{body}");
            assert!(body["title"].is_string() && body["detail"].is_string());
        }
    }

    #[test]
    fn the_databases_words_stay_inside() {
        let body = Problem::from(ServiceError::from(StoreError::Failed("no such column".into()))).to_json();
        assert!(!body.to_string().contains("column"));
    }

    #[test]
    fn answers_carry_the_headers_that_their_status_asks_for() {
        let unauthenticated = Problem::from(AuthError::Expired).into_response();
        assert_eq!(unauthenticated.status(), 401);
        assert!(unauthenticated.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer error="));
        assert_eq!(Problem::from(AuthError::Missing).into_response().headers()[WWW_AUTHENTICATE], "Bearer");
        let away = Problem::from(ServiceError::Unavailable { retry_after: Duration::from_millis(10) }).into_response();
        assert_eq!((away.status().as_u16(), away.headers()[RETRY_AFTER].to_str().unwrap()), (503, "1"));
        let busy = Refused { limit: Limit::RequestsPerSecond, retry_after: Duration::from_millis(1500) };
        let busy = Problem::from(busy).into_response();
        assert_eq!((busy.status().as_u16(), busy.headers()[RETRY_AFTER].to_str().unwrap()), (429, "2"));
        let wrong = Problem::wrong_method(&["GET", "PATCH"]).into_response();
        assert_eq!((wrong.status().as_u16(), wrong.headers()[ALLOW].to_str().unwrap()), (405, "GET, PATCH"));
        assert_eq!(wrong.headers()[CONTENT_TYPE], "application/problem+json");
    }
}
