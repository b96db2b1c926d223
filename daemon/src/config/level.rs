//! The values of `log.level`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The level of everything that a setting does not name.
const USUAL: &str = "info";
/// Libraries that would write headers, and tokens with them, when asked for every detail.
const KEPT_QUIET: &str = "h2=info,hyper=info,hyper_util=info,rustls=info,tungstenite=info,ureq=info,ureq_proto=info";

/// A level as the log takes it. A bare word is for everything; what must stay quiet stays so unless it is named.
///
/// # Errors
/// What is wrong with it. A word that is no level would else be the name of a part of the program, and silence all others.
pub fn log_filter(level: &str) -> Result<EnvFilter, String> {
    let help = "write error, warn, info, debug, trace or off, or a list such as warn,ryzed=debug";
    for part in level.split(',').map(str::trim) {
        let word = part.rsplit_once('=').map_or(part, |(_, word)| word).trim();
        let has_span = part.contains('[') && !part.contains('=');
        if !has_span && (word.is_empty() || word.parse::<LevelFilter>().is_err()) {
            return Err(format!("{part:?} is no log level; {help}"));
        }
    }
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    let all = format!("{USUAL},{KEPT_QUIET},{}", parts.join(","));
    EnvFilter::builder().parse(all).map_err(|_| format!("can't read {level:?} as a log level; {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list_of_words() {
        for good in
            ["info", "debug", "warn,ryzed=debug", "ryzed::request=off", "warn, ryzed=debug", "OFF", "[request]=debug"]
        {
            assert!(log_filter(good).is_ok(), "{good}: {:?}", log_filter(good).err());
        }
        for bad in ["inof", "", "warn,", "warn,inof", "ryzed=loud", "ryzed=", "ryzed", "="] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn naming_one_part_leaves_the_others_as_they_are() {
        let filter = log_filter("ryzde=debug").unwrap();
        assert!(filter.to_string().contains("info") && filter.max_level_hint() >= Some(LevelFilter::INFO), "{filter}");
    }
}
