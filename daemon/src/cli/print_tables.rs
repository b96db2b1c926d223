//! `ryzed tables`: the synced tables, one a line.

use ryzed_adapters::{Registry, ScopeRule};

use super::{Outcome, print};

pub(super) fn run() -> Outcome {
    let registry = Registry::standard();
    let mut lines = vec![["TABLE", "DOMAIN", "SCOPE", "COLUMNS"].map(str::to_owned)];
    for table in registry.iter() {
        let scope = match table.scope {
            ScopeRule::Via { column, parent } => format!("via {column} -> {parent}"),
            rule => rule.label().replace('_', " "),
        };
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        lines.push([table.name.to_owned(), table.domain.to_owned(), scope, columns.join(", ")]);
    }
    print(&aligned(&lines))
}

/// Columns as wide as their widest cell; the last one is left as it is.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|i| lines.iter().map(|line| line[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        for (i, cell) in line.iter().enumerate() {
            let width = if i + 1 == N { 0 } else { widths[i] + 2 };
            text.push_str(&format!("{cell:width$}"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let lines = [["a", "bb"], ["ccc", "d"]].map(|line| line.map(str::to_owned));
        assert_eq!(aligned(&lines), "a    bb\nccc  d\n");
    }
}
