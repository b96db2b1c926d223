//! SECURITY.md promises nothing without a story: each that it names is there.

use std::fs;
use std::path::Path;

/// The `module::story` pairs that the document names.
fn named(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(module, _)| *module != "module")
        .collect()
}

#[test]
fn every_promise_has_its_story() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let named = named(&text);
    assert!(named.len() > 40, "only {} stories are named", named.len());
    for (module, story) in named {
        let file = root.join("tests/stories").join(module).with_extension("rs");
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(source.contains(&format!("fn {story}()")), "there is no story {module}::{story}");
    }
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")) {
        assert!(line.contains("::"), "a promise without a story: {line}");
    }
}
