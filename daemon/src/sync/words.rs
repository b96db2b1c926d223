//! A parser's complaint about a value, in words for the client's author. Never the value itself: it may be somebody's.

/// The parser's words after "expected", each with a plain one.
const WANTED: [(&str, &str); 16] = [
    ("usize", WHOLE),
    ("u64", WHOLE),
    ("u32", WHOLE),
    ("u16", WHOLE),
    ("u8", WHOLE),
    ("i64", "a whole number"),
    ("i32", "a whole number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text"),
    ("a borrowed string", "a text"),
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("struct ", "an object"),
    ("internally tagged", "an object"),
    ("an RFC 3339", TIME),
];
const WHOLE: &str = "a whole number of 0 or more";
const TIME: &str = "a time such as 2026-05-01T08:00:00Z";
const UUID: &str = "a UUID, such as 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";

/// The messages of libraries about times and UUIDs, each with a plain one.
const THEIRS: [(&str, &str); 7] = [
    ("premature end of input", TIME),
    ("trailing input", TIME),
    ("input contains invalid characters", TIME),
    ("input is out of range", TIME),
    ("input is not enough for unique date and time", TIME),
    ("no possible date and time matching input", TIME),
    ("UUID parsing failed", UUID),
];

/// A message of the JSON reader, without its place in the text, in plain words.
#[must_use]
pub fn plain(message: &str) -> String {
    let (what, rest) = message.split_once(' ').unwrap_or((message, ""));
    let expected = message.split_once(", expected ").map(|(_, expected)| expected);
    match (what, expected) {
        ("missing", _) => "must be given".into(),
        ("duplicate", _) => "is given twice".into(),
        ("unknown", Some(names)) if rest.starts_with("field") => {
            format!("there is no such field; there are {}", listed(names))
        }
        ("unknown", _) if rest.starts_with("field") => "there is no such field".into(),
        ("unknown", Some(names)) => format!("must be one of {}", listed(names)),
        // A list is read as the fields in their order, and has the wrong number of them.
        ("invalid", Some(_)) if rest.starts_with("length") => "must be an object".into(),
        ("invalid", Some(wanted)) => match WANTED.iter().find(|(theirs, _)| wanted.starts_with(theirs)) {
            Some((_, ours)) => format!("must be {ours}"),
            None => "is of another kind than is wanted here".into(),
        },
        _ => match THEIRS.iter().find(|(theirs, _)| message.starts_with(theirs)) {
            Some((_, ours)) => format!("must be {ours}"),
            // Ours already.
            None => message.to_owned(),
        },
    }
}

fn listed(names: &str) -> String {
    names.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    fn of<T: for<'a> Deserialize<'a>>(text: &str) -> String {
        let Err(error) = serde_json::from_str::<T>(text) else { panic!("{text} is good") };
        let error = error.to_string();
        plain(error.rsplit_once(" at line ").map_or(error.as_str(), |(message, _)| message))
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    #[allow(dead_code)]
    struct Asked {
        limit: usize,
        at: Option<chrono::DateTime<chrono::Utc>>,
        id: Option<uuid::Uuid>,
        how: Option<How>,
        names: Option<Vec<String>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum How {
        Fast,
        Well,
    }

    #[test]
    fn no_parser_speaks_to_people() {
        for (text, words) in [
            ("{}", "must be given"),
            ("[]", "must be an object"),
            ("3", "must be an object"),
            (r#"{"limit":"secret"}"#, "must be a whole number of 0 or more"),
            (r#"{"limit":-1}"#, "must be a whole number of 0 or more"),
            (r#"{"limit":1.5}"#, "must be a whole number of 0 or more"),
            (r#"{"limit":1,"limit":2}"#, "is given twice"),
            (r#"{"limit":1,"limits":2}"#, "there is no such field; there are limit, at, id, how, names"),
            (r#"{"limit":1,"how":"slowly"}"#, "must be one of fast, well"),
            (r#"{"limit":1,"at":"yesterday"}"#, "must be a time such as"),
            (r#"{"limit":1,"at":"2026-05-01"}"#, "must be a time such as"),
            (r#"{"limit":1,"id":"bob"}"#, "must be a UUID, such as"),
            (r#"{"limit":1,"names":"secret"}"#, "must be a list"),
            (r#"{"limit":1,"names":[7]}"#, "must be a text"),
        ] {
            let told = of::<Asked>(text);
            assert!(told.starts_with(words) && !told.contains("secret"), "{text}: {told}");
        }
        assert_eq!(of::<bool>("{}"), "must be true or false");
        assert!(of::<Vec<Value>>("{}").starts_with("must be a list"));
        assert_eq!(
            plain("a device id is 1 to 64 characters of [A-Za-z0-9._-]"),
            "a device id is 1 to 64 characters of [A-Za-z0-9._-]"
        );
    }
}
