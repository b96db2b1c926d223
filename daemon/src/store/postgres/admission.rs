//! The statement by which the database itself judges whether a token or a device is refused.

use super::sql_text::escaped;
use crate::sync::token::Credentials;

/// The statement that ends a transaction of somebody who is refused; none when there is nothing to judge.
pub(super) fn admission(credentials: &Credentials) -> Option<String> {
    if credentials.are_none() {
        return None;
    }
    let text = |text: Option<String>| text.map_or_else(|| "NULL".into(), |text| escaped(&text));
    let token = credentials.token.as_deref();
    let issued = token.and_then(|token| token.issued_at).map(|issued_at| issued_at.timestamp().to_string());
    Some(format!(
        "SELECT ryzed.admit({}, {}, {}, {}, {})",
        text(credentials.device.as_ref().map(ToString::to_string)),
        text(token.and_then(|token| token.device.as_ref()).map(ToString::to_string)),
        text(token.map(|token| token.mark.to_string())),
        text(token.and_then(|token| token.session).map(|session| session.to_string())),
        issued.unwrap_or_else(|| "NULL".into()),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::{DeviceId, Mark, Token};

    #[test]
    fn what_a_token_says_is_judged_as_it_stands() {
        assert_eq!(admission(&Credentials::default()), None);
        let device: DeviceId = "pixel-8".parse().unwrap();
        let alone = Credentials { token: None, device: Some(device.clone()) };
        assert_eq!(admission(&alone).unwrap(), "SELECT ryzed.admit(E'pixel-8', NULL, NULL, NULL, NULL)");
        let token = Token { mark: Mark([7; 32]), session: None, issued_at: None, device: Some(device) };
        let with = admission(&Credentials { token: Some(Arc::new(token)), device: None }).unwrap();
        assert_eq!(with, format!("SELECT ryzed.admit(NULL, E'pixel-8', E'{}', NULL, NULL)", "07".repeat(32)));
    }
}
