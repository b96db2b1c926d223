//! What a person reads about a database before it is adopted.

use std::fmt::Write;

use crate::store::postgres::adopt::{Look, Standing, TableReport, Verdict};

/// The whole report.
pub(super) fn text(name: &str, look: &Look) -> String {
    let examined = &look.examined;
    let mut text = format!("{name}, PostgreSQL {}{}\n", look.version, standing(&look.standing));
    for problem in &examined.problems {
        line(&mut text, "✗", problem);
    }
    for table in &examined.tables {
        text.push_str(&of_table(table));
    }
    let count = |verdict| examined.tables.iter().filter(|table| table.verdict == verdict).count();
    let _ = writeln!(
        text,
        "\n{} tables can be synced, {} are not there, {} are left alone, {} do not fit.",
        count(Verdict::Fits),
        count(Verdict::Absent),
        count(Verdict::Skipped),
        count(Verdict::Unfit)
    );
    text
}

fn standing(standing: &Standing) -> &'static str {
    match standing {
        Standing::Untouched | Standing::Own => "",
        Standing::Begun(_) => "; adopting it was begun and not finished",
        Standing::Complete(_) => "; it is adopted",
    }
}

fn of_table(table: &TableReport) -> String {
    let what = match table.verdict {
        Verdict::Absent => "is not there".to_owned(),
        Verdict::Skipped => "is left alone (skip = true)".to_owned(),
        Verdict::Fits | Verdict::Unfit if table.rows > 0 => format!("is {}, about {} rows", table.relation, table.rows),
        Verdict::Fits | Verdict::Unfit => format!("is {}", table.relation),
    };
    let mut text = format!("\n{} {what}\n", table.table);
    for problem in &table.problems {
        line(&mut text, "✗", problem);
    }
    if table.verdict != Verdict::Absent && !table.owner.is_empty() {
        line(&mut text, "owner", &table.owner);
    }
    if !table.fits.is_empty() {
        line(&mut text, "fits", &table.fits.join(", "));
    }
    for (wire, physical) in &table.mapped {
        line(&mut text, "mapped", &format!("{wire} = {physical}"));
    }
    for (name, what) in &table.extra {
        line(&mut text, "extra", &format!("{name} ({what})"));
    }
    for (name, why) in &table.missing {
        line(&mut text, "missing", &format!("{name} {why}"));
    }
    for (name, why) in &table.home {
        line(&mut text, "home", &format!("{name}: {why}"));
    }
    for (name, why) in &table.read_only {
        line(&mut text, "readonly", &format!("{name}: {why}"));
    }
    for note in &table.notes {
        line(&mut text, "note", note);
    }
    text
}

fn line(text: &mut String, label: &str, what: &str) {
    let _ = writeln!(text, "  {label:8} {what}");
}
