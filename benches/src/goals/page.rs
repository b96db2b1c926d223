//! The page: one file that needs nothing else.

use super::plot::{escaped, plot};
use super::table::{HEAD, Row};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1d2530}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee6}\
    svg{display:block;width:100%;max-width:56rem;margin:.15rem 0}svg text{font-size:11px;fill:currentColor}\
    rect.met,td.met{fill:#3a9d6c;color:#1f7a4d}rect.missed,td.missed{fill:#d9822b;color:#b4590a}rect.plain{fill:#9aa7b5}\
    circle{fill:#1d2530;fill-opacity:.55}line.goal{stroke:#c2255c;stroke-width:2}\
    @media(prefers-color-scheme:dark){body{background:#12171e;color:#dde5ee}td,th{border-color:#2c3642}circle{fill:#dde5ee}}";

/// The page of these rows; `notes` say when and where they were measured.
#[must_use]
pub fn page(rows: &[Row], notes: &[String]) -> String {
    let cell = |tag: &str, class: &str, text: &str| format!("<{tag} class=\"{class}\">{}</{tag}>", escaped(text));
    let head: String = HEAD.iter().map(|name| cell("th", "", name)).collect();
    let lines: String = rows
        .iter()
        .map(|row| {
            let cells = row.cells();
            let line: String = cells.iter().map(|text| cell("td", &cells[5], text)).collect();
            format!("<tr>{line}</tr>\n")
        })
        .collect();
    let plots: String = rows.iter().map(plot).collect();
    let notes: String = notes.iter().map(|note| cell("p", "", note)).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>ryzed: goals</title><style>{STYLE}</style>\
         <h1>ryzed: goals</h1>{notes}<table><tr>{head}</tr>\n{lines}</table><h2>Each round</h2>\
         <p>A dot is a round, the bar ends at the median, the line is the goal. Ratios are to the yardstick.</p>\n{plots}\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::table::Goal;
    use super::*;

    #[test]
    fn the_page_needs_nothing_else_and_shows_each_row() {
        let mut row = Row::of("changes", "/s", Goal::Share(0.4));
        row.ours(50.0);
        row.yardstick(100.0);
        let page = page(&[row], &["2 cores & quiet".to_owned()]);
        assert!(page.contains("2 cores &amp; quiet") && page.contains("<svg") && page.contains("met"), "{page}");
        for outside in ["http:", "https:", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
