//! The report on a database before it is adopted, for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::store::postgres::adopt::{AdoptionState, Inspection, Proof, TableReport, Verdict, setting};

/// The whole report.
pub(super) fn text(name: &str, inspection: &Inspection) -> String {
    let examined = &inspection.examined;
    let mut text = format!("{name}, PostgreSQL {}{}\n", inspection.version, state(&inspection.state));
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

/// The lines about what people can do, as it was tried.
pub(super) fn proven(proofs: &[Proof]) -> String {
    let mut text = "\nTried as one of their people, and taken back (sequences may have moved on):\n".to_owned();
    for proof in proofs {
        let _ = writeln!(text, "\n{} is {}", proof.table, proof.relation);
        if let Some(problem) = proof.problem() {
            line(&mut text, "✗", &format!("{problem}; or leave it alone:{}", setting(proof.table, "skip = true")));
        }
        for told in proof.lines() {
            line(&mut text, "proof", &told);
        }
    }
    text
}

/// Statements that let the daemon's role do what it was denied, to be pasted.
pub(super) fn grants(proofs: &[Proof], is_role_gone: bool) -> String {
    let lines: BTreeSet<&str> = proofs.iter().flat_map(|proof| &proof.grants).map(String::as_str).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut text = "\nThe owner of what was denied runs this, and then `ryzed adopt` is run again:\n".to_owned();
    if is_role_gone {
        text.push_str("  CREATE ROLE ryzed_daemon NOLOGIN;\n");
    }
    for statement in lines {
        let _ = writeln!(text, "  {statement};");
    }
    text.push('\n');
    text
}

fn state(state: &AdoptionState) -> &'static str {
    match state {
        AdoptionState::Untouched | AdoptionState::Own => "",
        AdoptionState::Begun(_) => "; adopting it was begun and not finished",
        AdoptionState::Complete(_) => "; it is adopted",
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
