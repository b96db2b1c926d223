//! What adopting tells of each table.

/// What was found of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableReport {
    /// Its name on the wire.
    pub table: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The table of the database, as people name it.
    pub relation: String,
    /// About how many rows it has; fewer than none when nobody knows.
    pub rows: i64,
    /// How the owner of a row is found.
    pub owner: String,
    /// The adapter's columns that are there under their own names.
    pub fits: Vec<String>,
    /// The adapter's columns that have other names there: name on the wire, name there.
    pub mapped: Vec<(String, String)>,
    /// Columns that no adapter knows: name, and what it is.
    pub extra: Vec<(String, String)>,
    /// The adapter's columns that are not synced, and why.
    pub missing: Vec<(String, String)>,
    /// Columns that stay home: name, and why, with the line of the configuration that lets them out.
    pub home: Vec<(String, String)>,
    /// Columns that devices may not write: name, and why, with the line that lets them.
    pub read_only: Vec<(String, String)>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Why it can't be adopted, and what to do about it.
    pub problems: Vec<String>,
}

/// What becomes of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It is synced.
    Fits,
    /// It is not in the database.
    #[default]
    Absent,
    /// The configuration leaves it alone.
    Skipped,
    /// It is there and can't be synced.
    Unfit,
}
