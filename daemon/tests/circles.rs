//! No two files need each other: each can be read knowing only what stands below it. A file may know the heads of the folders
//! that it lies in, and these know their files; beside that, imports lead one way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file by its module path, such as `["store", "sqlite"]`.
type Module = Vec<String>;

/// The imports of one file.
#[derive(Default)]
struct Source {
    /// The modules that it declares.
    children: BTreeSet<String>,
    /// Paths that it uses.
    uses: Vec<Vec<String>>,
    /// Names that it hands on from elsewhere, with the paths behind them.
    exports: BTreeMap<String, Vec<String>>,
}

impl Source {
    fn of(text: &str) -> Self {
        let tokens = tokens(text);
        let (mut source, mut at) = (Self::default(), 0);
        while at < tokens.len() {
            match tokens[at].as_str() {
                "mod" if tokens.get(at + 2).is_some_and(|next| next == ";") => {
                    source.children.insert(tokens[at + 1].clone());
                    at += 2;
                }
                "use" => {
                    let end = tokens[at..].iter().position(|token| token == ";").map_or(tokens.len(), |len| at + len);
                    let is_export = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                    for path in tree(&tokens[at + 1..end], &mut 0, &[]) {
                        if is_export {
                            let name = path.last().cloned().unwrap_or_default();
                            source.exports.insert(name, path);
                        } else {
                            source.uses.push(path);
                        }
                    }
                    at = end;
                }
                _ if tokens.get(at + 1).is_some_and(|next| next == "::") && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![tokens[at].clone()];
                    while tokens.get(at + 1).is_some_and(|next| next == "::") && is_name(tokens.get(at + 2)) {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    source.uses.push(path);
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

fn is_name(token: Option<&String>) -> bool {
    token.is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// Names and signs, without comments, texts and tests.
fn tokens(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |len| len + 5)
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |len| len + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("'{'") || rest.starts_with("'}'") {
            3
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else if first.is_alphanumeric() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// The paths of a `use`, from `at`.
fn tree(tokens: &[String], at: &mut usize, before: &[String]) -> Vec<Vec<String>> {
    let (mut paths, mut path) = (Vec::new(), before.to_vec());
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "{" => {
                loop {
                    paths.extend(tree(tokens, at, &path));
                    if tokens.get(*at - 1).is_none_or(|token| token == "}") {
                        break;
                    }
                }
                path.clear();
            }
            "," | "}" => break,
            "as" => *at += 1,
            "::" => {}
            name => path.push(name.to_owned()),
        }
    }
    if path.len() > before.len() {
        paths.push(path);
    }
    paths
}

/// All that is compiled: tests may build what they like.
fn read(folder: &Path, module: &Module, sources: &mut BTreeMap<Module, Source>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let inner = |name: &str| [module.clone(), vec![name.to_owned()]].concat();
        if entry.path().is_dir() {
            if !["tests", "bin"].contains(&name.as_str()) {
                read(&entry.path(), &inner(&name), sources);
            }
        } else if let Some(name) = name.strip_suffix(".rs").filter(|name| !name.ends_with("tests") && *name != "main") {
            let path = if name == "lib" { module.clone() } else { inner(name) };
            sources.insert(path, Source::of(&fs::read_to_string(entry.path()).expect("a source")));
        }
    }
}

/// The file that defines what a path in `module` names.
fn target(sources: &BTreeMap<Module, Source>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let (mut at, mut rest) = (module.clone(), path);
    match rest.first()?.as_str() {
        "crate" => (at, rest) = (Module::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        first if sources[module].children.contains(first) => {}
        _ => return None,
    }
    while let Some(first) = rest.first() {
        let inner = [at.clone(), vec![first.clone()]].concat();
        if !sources.contains_key(&inner) {
            break;
        }
        (at, rest) = (inner, &rest[1..]);
    }
    let export = rest.first().and_then(|name| sources.get(&at)?.exports.get(name)).filter(|_| depth < 8);
    let behind = export.and_then(|path| target(sources, &at, path, depth + 1));
    behind.or(Some(at)).filter(|at| sources.contains_key(at))
}

/// The files that stand in circles, each with those of the same circles that it needs.
fn circles(sources: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut needs: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, source) in sources {
        let targets = source.uses.iter().filter_map(|path| target(sources, module, path, 0));
        needs.insert(module.clone(), targets.filter(|target| !module.starts_with(target)).collect());
    }
    loop {
        let wanted: BTreeSet<Module> = needs.values().flatten().cloned().collect();
        let all = needs.len();
        needs.retain(|module, below| !below.is_empty() && wanted.contains(module));
        let left: BTreeSet<Module> = needs.keys().cloned().collect();
        needs.values_mut().for_each(|below| below.retain(|module| left.contains(module)));
        if needs.len() == all {
            return needs;
        }
    }
}

fn told(circles: &BTreeMap<Module, BTreeSet<Module>>) -> String {
    let line = |(module, below): (&Module, &BTreeSet<Module>)| {
        let below: Vec<String> = below.iter().map(|module| module.join("/")).collect();
        format!("{} needs {}", module.join("/"), below.join(", "))
    };
    circles.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_lead_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "../adapters/src"] {
        let mut sources = BTreeMap::new();
        read(&root.join(folder), &Module::new(), &mut sources);
        assert!(sources.len() > 10, "{folder} is not there");
        let circles = circles(&sources);
        assert!(circles.is_empty(), "files of {folder} need each other:\n{}", told(&circles));
    }
}

#[test]
fn a_circle_is_found() {
    let text = |files: [(&str, &str); 4]| -> BTreeMap<Module, Source> {
        let module = |name: &str| name.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
        files.into_iter().map(|(name, text)| (module(name), Source::of(text))).collect()
    };
    let lib = ("", "mod a; mod b; pub use a::One;");
    let opened =
        text([lib, ("a", "mod inner; pub struct One;"), ("a/inner", "use super::One;"), ("b", "use crate::One;")]);
    assert_eq!(told(&circles(&opened)), "");
    let closed =
        text([lib, ("a", "use super::b::{self, Two as Other};"), ("a/inner", ""), ("b", "fn f() { crate::a::One }")]);
    assert_eq!(told(&circles(&closed)), "a needs b\nb needs a");
    let handed_on =
        text([lib, ("a", "mod inner; fn f() -> crate::b::Two {}"), ("a/inner", ""), ("b", "use crate::One; // \"")]);
    assert_eq!(told(&circles(&handed_on)), "a needs b\nb needs a");
}
