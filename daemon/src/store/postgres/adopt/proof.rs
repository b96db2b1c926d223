//! The results of trying a table as one of its people, and their report. Pure.

use std::collections::BTreeSet;

/// The result of one trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A success.
    Done,
    /// An unknown result, and why.
    Untried(String),
    /// The application does not want it: its policies, grants or triggers; in words.
    Kept(String),
    /// The database fails at it; in its own words.
    Refused(String),
    /// The daemon's role may not do what the application's policies, functions or triggers do; in the database's words.
    Denied(String),
}

/// The trials of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its name on the wire.
    pub table: &'static str,
    /// The table of the database, as people name it.
    pub relation: String,
    /// A row is read by whose it is.
    pub read: Outcome,
    /// A row is changed.
    pub edit: Outcome,
    /// Another one is made.
    pub make: Outcome,
    /// That one is deleted.
    pub remove: Outcome,
    /// Further observations.
    pub notes: BTreeSet<String>,
    /// Statements that would let the daemon's role do what it was denied.
    pub grants: BTreeSet<String>,
}

impl Outcome {
    pub(super) fn untried(why: impl Into<String>) -> Self {
        Self::Untried(why.into())
    }

    /// The one of two outcomes that says more: a success, else what stands in the way.
    pub(super) fn or(self, other: Self) -> Self {
        let rank = |outcome: &Self| match outcome {
            Self::Done => 4,
            Self::Denied(_) => 3,
            Self::Refused(_) => 2,
            Self::Kept(_) => 1,
            Self::Untried(_) => 0,
        };
        let says_nothing = self.why().is_empty() && !self.is_done();
        if says_nothing || rank(&other) > rank(&self) { other } else { self }
    }

    fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// True if something fails that the application wants.
    fn is_failed(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Denied(_))
    }

    /// The reason; none of what went well.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Done => "",
            Self::Untried(why) | Self::Kept(why) | Self::Refused(why) | Self::Denied(why) => why,
        }
    }
}

impl Proof {
    /// One of which nothing was tried.
    pub(super) fn untried(table: &'static str, relation: String, why: &str) -> Self {
        let untried = || Outcome::untried(why);
        Self {
            table,
            relation,
            read: untried(),
            edit: untried(),
            make: untried(),
            remove: untried(),
            notes: BTreeSet::new(),
            grants: BTreeSet::new(),
        }
    }

    /// The reason why the table can't be synced; none when a row of it can be read, and changed or made, as far as the
    /// application wants that.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let name = &self.relation;
        if !self.read.is_done() && !matches!(self.read, Outcome::Untried(_)) {
            return Some(format!("nobody can read a row of {name}: {}", self.read.why()));
        }
        let is_written = self.edit.is_done() || self.make.is_done();
        let failed = match (&self.edit, &self.make) {
            _ if is_written => None,
            (edit, _) if edit.is_failed() => Some(edit),
            // There is no row that could be changed; what is denied would be so then.
            (Outcome::Untried(_), make @ Outcome::Denied(_)) => Some(make),
            _ => None,
        };
        failed.map(|outcome| format!("nobody can change a row of {name}: {}", outcome.why()))
    }

    /// The report on the table, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let tried = [
            ("read", &self.read, "read"),
            ("edited", &self.edit, "edit"),
            ("made", &self.make, "make"),
            ("deleted", &self.remove, "delete"),
        ];
        let mut lines = Vec::new();
        let done: Vec<&str> =
            tried.iter().filter(|(_, outcome, _)| outcome.is_done()).map(|(what, ..)| *what).collect();
        let is_untried = tried.iter().all(|(_, outcome, _)| matches!(outcome, Outcome::Untried(_)));
        if is_untried {
            lines.push(format!("not proven: {}", self.read.why()));
        } else if self.is_read_only() {
            lines.push(format!("read-only: {}", self.edit.why()));
        } else {
            if !done.is_empty() {
                lines.push(format!("a row was {}", listed(&done)));
            }
            for (_, outcome, what) in tried.iter().filter(|(_, outcome, _)| !outcome.why().is_empty()) {
                let how = if matches!(outcome, Outcome::Untried(_)) { "not tried to" } else { "devices can't" };
                lines.push(format!("{how} {what}: {}", outcome.why()));
            }
        }
        lines.extend(self.notes.iter().cloned());
        lines
    }

    /// True if rows can be read, and the application lets nobody write.
    fn is_read_only(&self) -> bool {
        let is_kept = |outcome: &Outcome| matches!(outcome, Outcome::Kept(_) | Outcome::Untried(_));
        self.read.is_done() && matches!(self.edit, Outcome::Kept(_)) && is_kept(&self.make) && is_kept(&self.remove)
    }
}

/// The kind and name of the thing that the daemon's role may not use, from the database's message.
pub(super) fn denied(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("permission denied for ")?.split_once(' ').map(|(kind, name)| match kind {
        "materialized" | "foreign" => (kind, name.split_once(' ').map_or(name, |(_, name)| name)),
        _ => (kind, name),
    })
}

/// Names of settings by which text of SQL goes, other than those that the daemon makes.
pub(super) fn settings(sql: &str) -> BTreeSet<&str> {
    const OURS: [&str; 2] = ["request.jwt.claims", "request.jwt.claim"];
    let after = sql.split("current_setting(").skip(1);
    let named = after.filter_map(|rest| rest.trim_start().strip_prefix('\'')?.split('\'').next());
    named.filter(|name| name.contains('.') && !OURS.iter().any(|ours| name.starts_with(ours))).collect()
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(read: Outcome, edit: Outcome, make: Outcome) -> Proof {
        let untried = Proof::untried("foods", "public.foods".into(), "nobody is there");
        Proof { read, edit, make, ..untried }
    }

    #[test]
    fn a_table_that_can_take_nothing_is_a_problem_and_one_that_must_not_is_none() {
        let (kept, refused) = (|| Outcome::Kept("k".into()), || Outcome::Refused("r".into()));
        let (denied, untried) = (|| Outcome::Denied("d".into()), || Outcome::untried("u"));
        for (read, edit, make, is_problem) in [
            (Outcome::Done, Outcome::Done, refused(), false),
            (Outcome::Done, refused(), Outcome::Done, false),
            (Outcome::Done, refused(), refused(), true),
            (Outcome::Done, denied(), kept(), true),
            (Outcome::Done, kept(), kept(), false),
            (Outcome::Done, kept(), refused(), false),
            (kept(), untried(), untried(), true),
            (denied(), untried(), untried(), true),
            (untried(), untried(), untried(), false),
            (untried(), untried(), refused(), false),
            (untried(), untried(), denied(), true),
        ] {
            let proof = proof(read, edit, make);
            assert_eq!(proof.problem().is_some(), is_problem, "{proof:?}");
        }
    }

    #[test]
    fn what_is_told_says_what_went_well_and_what_did_not() {
        let all = Proof { remove: Outcome::Done, ..proof(Outcome::Done, Outcome::Done, Outcome::Done) };
        assert_eq!(all.lines(), ["a row was read, edited, made and deleted"]);
        let catalogue = proof(Outcome::Done, Outcome::Kept("no policy".into()), Outcome::Kept("none".into()));
        assert_eq!(catalogue.lines(), ["read-only: no policy"]);
        let nobody = Proof::untried("foods", "public.foods".into(), "nobody is there");
        assert_eq!(nobody.lines(), ["not proven: nobody is there"]);
    }

    #[test]
    fn what_messages_and_policies_name_is_found() {
        assert_eq!(denied("permission denied for table blocked"), Some(("table", "blocked")));
        assert_eq!(denied("permission denied for materialized view sums"), Some(("materialized", "sums")));
        assert_eq!(denied("no food"), None);
        let policy = "(user_id = (current_setting('app.user_id'::text))::uuid) OR current_setting('request.jwt.claims'::text, true) <> ''";
        assert_eq!(settings(policy), BTreeSet::from(["app.user_id"]));
    }
}
