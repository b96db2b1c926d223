//! The pages about the inside name what is there: paths, names in the code, links, and their own bounds.
//!
//! In the pages of [`named`], a code span without spaces is one of three:
//! - a path, when it has a slash or one of [`ENDINGS`]. With a slash it starts at one of [`BASES`]; a bare file name may be anywhere;
//! - a name (`Type::method`, `call()`, `schema.table`), when it has only letters, digits, `_`, `-`, `.` and `::`. All its parts occur
//!   in one source, whose own path counts too;
//! - anything else, such as `<database>.life`, which is not checked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The most words of ARCHITECTURE.md.
const MOST_WORDS: usize = 1500;
/// The most entries of its glossary.
const MOST_ENTRIES: usize = 25;
/// The longest line of a page about the inside, in characters.
const LONGEST_LINE: usize = 140;
/// The lines of a decision.
const DECISION_LINES: std::ops::RangeInclusive<usize> = 8..=20;
/// The beginnings of a path with a slash.
const BASES: [&str; 3] = ["", "daemon/src", "client/src"];
/// The endings that make a path of a bare name.
const ENDINGS: [&str; 10] = [".rs", ".md", ".js", ".mjs", ".toml", ".sql", ".json", ".sh", ".css", ".html"];
/// The endings of sources.
const SOURCES: [&str; 8] = ["rs", "sql", "js", "mjs", "toml", "json", "html", "service"];

/// The file with this test names what need not be in the code.
const THIS: &str = "daemon/tests/pages.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// A page of Markdown, without its fenced blocks.
struct Page {
    /// From the repository's root.
    path: String,
    /// The number of each line, and its text.
    lines: Vec<(usize, String)>,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        let mut is_fenced = false;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            if !is_fence && !is_fenced {
                lines.push((index + 1, line.to_owned()));
            }
            is_fenced ^= is_fence;
        }
        Self { path: path.to_owned(), lines }
    }

    /// The code spans, each with the number of its line.
    fn spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (*number, span)))
    }

    /// The targets of links, each with the number of its line.
    fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.lines {
            let plain: String = line.split('`').step_by(2).collect();
            let targets = plain.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(|target| (*number, target.to_owned())));
        }
        links
    }

    /// The anchors of the headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        for (_, line) in self.lines.iter().filter(|(_, line)| line.starts_with('#')) {
            let anchor = anchor(line.trim_start_matches('#').trim());
            let before = count.entry(anchor.clone()).or_default();
            anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
            *before += 1;
        }
        anchors
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The Markdown files of a folder, in order, as paths from the root.
fn pages_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|fault| panic!("{folder}: {fault}"));
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).map(|name| join(folder, &name)).collect();
    pages.sort();
    pages
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The pages about the inside.
fn inside() -> Vec<String> {
    let mut pages = vec!["ARCHITECTURE.md".to_owned(), "docs/walkthroughs.md".to_owned()];
    pages.extend(pages_in("docs/decisions"));
    pages
}

/// The pages whose paths and names are checked.
fn named() -> Vec<Page> {
    inside().iter().map(String::as_str).chain(["CONTRIBUTING.md"]).map(Page::read).collect()
}

/// Every file of the tree that is not made by a build, from the root.
fn tree(folder: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder").flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = join(folder, &name);
        let is_made = ["target", "node_modules", "data", ".git"].contains(&name.as_str());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !is_made {
                tree(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

fn files() -> Vec<String> {
    let mut files = Vec::new();
    tree("", &mut files);
    files
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The words of each source, and of its path.
fn sources(files: &[String]) -> Vec<HashSet<String>> {
    let is_source = |path: &&String| {
        let ending = path.rsplit('.').next().unwrap_or_default();
        let is_lock = path.ends_with("package-lock.json");
        path.as_str() == "test" || (SOURCES.contains(&ending) && !is_lock && path.as_str() != THIS)
    };
    let of = |path: &String| {
        let text = fs::read_to_string(root().join(path)).ok()?;
        Some(words(&text).chain(words(path)).map(str::to_owned).collect())
    };
    files.iter().filter(is_source).filter_map(of).collect()
}

fn is_path(span: &str) -> bool {
    let is_plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let has_form = span.contains('/') || ENDINGS.iter().any(|ending| span.ends_with(ending));
    is_plain && has_form && !span.starts_with('/')
}

fn is_name(span: &str) -> bool {
    let name = span.strip_suffix("()").unwrap_or(span);
    let is_plain = name.replace("::", ".").chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    is_plain && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn exists(span: &str, files: &[String]) -> bool {
    let path = span.strip_prefix("./").unwrap_or(span);
    if !path.contains('/') {
        return files.iter().any(|file| file.rsplit('/').next() == Some(path));
    }
    BASES.iter().any(|base| root().join(base).join(path).exists())
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_path_and_name_is_in_the_tree() {
    let files = files();
    let sources = sources(&files);
    let occurs = |span: &str| {
        let parts: Vec<&str> = words(span).collect();
        sources.iter().any(|source| parts.iter().all(|part| source.contains(*part)))
    };
    let mut faults = Vec::new();
    for page in named() {
        for (number, line) in &page.lines {
            if line.matches('`').count() % 2 == 1 {
                faults.push(format!("{}:{number}: a code span has to end on its line", page.path));
            }
        }
        for (number, span) in page.spans().filter(|(_, span)| !span.contains(' ')) {
            if is_path(span) && !exists(span, &files) {
                faults.push(format!("{}:{number}: no file or folder `{span}`", page.path));
            } else if !is_path(span) && is_name(span) && !occurs(span) {
                faults.push(format!("{}:{number}: no source has `{span}`", page.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for path in ["", "docs", "docs/decisions", "client"].into_iter().flat_map(pages_in) {
        let page = Page::read(&path);
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for (number, link) in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { PathBuf::from(&path) } else { folder.join(file) };
            if !root().join(&target).exists() {
                faults.push(format!("{path}:{number}: no file {link}"));
            } else if !anchor.is_empty() && !Page::read(&target.to_string_lossy()).anchors().contains(anchor) {
                faults.push(format!("{path}:{number}: no heading {link}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn pages_about_the_inside_are_short() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let count = text.split_whitespace().count();
    assert!(count <= MOST_WORDS, "ARCHITECTURE.md has {count} words, at most {MOST_WORDS} may be: move some to docs/");
    let glossary = text.split("\n## ").find(|section| section.starts_with("Words\n")).expect("the section Words");
    let entries = glossary.matches("**:").count();
    assert!(entries <= MOST_ENTRIES, "the glossary has {entries} entries, at most {MOST_ENTRIES} may be");
    let mut faults = Vec::new();
    for path in inside() {
        for (index, line) in fs::read_to_string(root().join(&path)).expect("a page").lines().enumerate() {
            let length = line.chars().count();
            if length > LONGEST_LINE {
                faults.push(format!("{path}:{}: {length} characters, at most {LONGEST_LINE} may be", index + 1));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_decision_has_its_parts_and_is_in_the_index() {
    const INDEX: &str = "docs/decisions/README.md";
    let links: Vec<String> = Page::read(INDEX).links().into_iter().map(|(_, link)| link).collect();
    let mut faults = Vec::new();
    for (index, path) in pages_in("docs/decisions").iter().filter(|path| *path != INDEX).enumerate() {
        let text = fs::read_to_string(root().join(path)).expect("a decision");
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut wrong = |what: String| faults.push(format!("{path}: {what}"));
        let number = format!("{:04}", index + 1);
        if !name.starts_with(&number) || !text.starts_with(&format!("# {number}. ")) {
            wrong(format!("name and title have to begin with {number}"));
        }
        if !DECISION_LINES.contains(&text.lines().count()) {
            wrong(format!("{} lines, {DECISION_LINES:?} may be", text.lines().count()));
        }
        for part in ["\n**Context.** ", "\n**Decision.** ", "\n**Cost.** "] {
            if text.matches(part).count() != 1 {
                wrong(format!("one paragraph has to begin with {}", part.trim()));
            }
        }
        if links.iter().filter(|link| *link == name).count() != 1 {
            wrong(format!("{INDEX} has to name it once"));
        }
    }
    none(&faults);
}

#[test]
fn what_is_wrong_is_found() {
    assert_eq!(anchor("`POST /sync`"), "post-sync");
    assert_eq!(anchor("An application's own database"), "an-applications-own-database");
    assert!(is_path("http/routes.rs") && is_path("Cargo.toml") && is_path("./test") && !is_path("/sync"));
    assert!(is_name("Live::connect") && is_name("ryzed.record()") && !is_name("<database>.life"));
    let files = files();
    assert!(exists("http/routes.rs", &files) && exists("routes.rs", &files));
    assert!(!exists("http/roots.rs", &files) && !exists("roots.rs", &files));
    let missing = ["no", "such", "name"].join("_");
    assert!(!sources(&files).iter().any(|source| source.contains(&missing)));
}
