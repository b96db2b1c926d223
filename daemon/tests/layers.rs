//! Knowledge points one way, as ARCHITECTURE.md draws it: no folder names one above it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules that each folder may import, besides itself. `cli` joins all of them.
const MAP: [(&str, &[&str]); 10] = [
    ("sync", &[]),
    ("config", &[]),
    ("auth", &["config", "metrics", "sync"]),
    ("budget", &["config", "metrics", "sync"]),
    ("store", &["metrics", "sync"]),
    ("service", &["auth", "budget", "clock", "config", "metrics", "store", "sync"]),
    ("carrier", &["config", "metrics", "sync"]),
    ("actors", &["auth", "budget", "carrier", "config", "metrics", "service", "sync"]),
    ("http", &["actors", "auth", "budget", "clock", "config", "metrics", "service", "sync"]),
    ("transfer", &["auth", "clock", "config", "progress", "service", "store", "sync"]),
];

/// The modules that may be imported anywhere: the pauses of what is tried again, the switches by which stories break the
/// daemon, and how files are kept from others.
const EVERYWHERE: [&str; 3] = ["backoff", "faults", "private"];

/// All that is compiled into the daemon: tests may build what they like.
fn code(path: &Path, all: &mut String) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_dir() && name != "tests" {
        fs::read_dir(path).expect("a folder").flatten().for_each(|entry| code(&entry.path(), all));
    } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
        let text = fs::read_to_string(path).expect("a source");
        *all += text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    }
}

fn known(folder: &str) -> BTreeSet<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = String::new();
    code(&sources.join(folder), &mut all);
    code(&sources.join(format!("{folder}.rs")), &mut all);
    assert!(all.len() > 1000, "{folder} is not there");
    let named = all.split("crate::").skip(1);
    named.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

#[test]
fn no_folder_knows_one_above_it() {
    for (folder, allowed) in MAP {
        let mut known = known(folder);
        known
            .retain(|name| name != folder && !EVERYWHERE.contains(&name.as_str()) && !allowed.contains(&name.as_str()));
        assert!(known.is_empty(), "{folder} knows {known:?}, which ARCHITECTURE.md does not draw");
    }
}
