//! The configuration as it may be shown: without a secret in it.

use super::Config;

const MASK: &str = "********";

impl Config {
    /// The database as it may be shown: its file, or its URL without a password.
    #[must_use]
    pub fn database_name(&self) -> String {
        match self.database_server() {
            Some(url) => masked_url(url),
            None => self.database_path().display().to_string(),
        }
    }

    /// True if something in it is secret.
    #[must_use]
    pub fn holds_secrets(&self) -> bool {
        let mut urls = [&self.redis.url, &self.database.url, &self.auth.jwks_url].into_iter().flatten();
        self.auth.secret.is_some() || urls.any(|url| has_password(url))
    }

    /// The same configuration with every secret masked, to be shown.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        for secret in shown.auth.secret.iter_mut() {
            *secret = MASK.to_owned();
        }
        for url in [&mut shown.redis.url, &mut shown.database.url, &mut shown.auth.jwks_url].into_iter().flatten() {
            *url = masked_url(url);
        }
        shown
    }
}

/// True if a password stands before the URL's host, or in its query.
#[must_use]
pub fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let mut pairs = place.split_once('?').map_or("", |(_, query)| query).split('&');
    login.contains(':') || pairs.any(|pair| masked_pair(pair) != pair)
}

/// The URL without what stands before its host's `@`, and without a password in its query.
fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // The last one: a password may have any character.
    let place = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("{MASK}@{host}"));
    let Some((place, query)) = place.split_once('?') else { return format!("{scheme}://{place}") };
    let pairs: Vec<String> = query.split('&').map(masked_pair).collect();
    format!("{scheme}://{place}?{}", pairs.join("&"))
}

fn masked_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    }
}
