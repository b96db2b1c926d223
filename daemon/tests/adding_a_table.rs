//! The claims of docs/adding-a-table.md about the project hold.

use std::path::Path;

/// The number of the example's migration is the next that is free in both folders.
#[test]
fn the_example_takes_a_migration_that_is_free() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let taken = ["sqlite", "postgres"].into_iter().flat_map(|backend| {
        let folder = std::fs::read_dir(root.join("migrations").join(backend)).expect("a folder of migrations");
        // Beside the folders stands a file: the functions.
        let folders = folder.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
        folders.map(|entry| number(&entry.file_name().to_string_lossy()))
    });
    let page = std::fs::read_to_string(root.join("docs/adding-a-table.md")).expect("the page");
    let (_, example) = page.split_once("Here: `migrations/sqlite/").expect("the example's migration");
    assert_eq!(number(example), taken.max().expect("there are migrations") + 1);
}

fn number(name: &str) -> u32 {
    let digits = name.split_once('_').map_or(name, |(digits, _)| digits);
    digits.parse().unwrap_or_else(|error| panic!("{digits}: {error}"))
}
