//! What a story can break from inside. Only the build with the feature `faults` has this file; it is never installed.
//!
//! `RYZED_FAULTS` names the faults, separated by commas; one that is not known ends the process, so that no story believes
//! in a fault that is not there.

use std::sync::LazyLock;

use uuid::Uuid;

use crate::sync::UserId;

/// Names the faults.
pub const VARIABLE: &str = "RYZED_FAULTS";

static FAULTS: LazyLock<Faults> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    Faults::read(&text).unwrap_or_else(|unknown| panic!("{VARIABLE}: there is no fault {unknown:?}"))
});

/// The switches of this process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    /// `no_scope_check`: whatever a person asks to write counts as theirs.
    no_scope_check: bool,
    /// `pull_of=<uuid>`: everybody's pulls ask for this person's scope, under their own claims.
    pull_of: Option<UserId>,
}

impl Faults {
    /// The faults of a list, or the first that is none.
    fn read(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for fault in text.split(',').map(str::trim).filter(|fault| !fault.is_empty()) {
            match fault.split_once('=') {
                None if fault == "no_scope_check" => faults.no_scope_check = true,
                Some(("pull_of", id)) => {
                    faults.pull_of = Some(UserId(Uuid::try_parse(id).map_err(|_| fault.to_owned())?));
                }
                _ => return Err(fault.to_owned()),
            }
        }
        Ok(faults)
    }
}

/// Says which faults there are, as early as possible.
pub fn announce() {
    tracing::warn!(faults = ?*FAULTS, "this build is broken on purpose");
}

/// Whether the daemon forgets to look whose a row is that is to be written.
pub(crate) fn no_scope_check() -> bool {
    FAULTS.no_scope_check
}

/// Whose scope a pull of this person asks for.
pub(crate) fn pulled_by(user: UserId) -> UserId {
    FAULTS.pull_of.unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_and_unknown_ones_refused() {
        let id = Uuid::from_u128(7);
        let both = Faults { no_scope_check: true, pull_of: Some(UserId(id)) };
        assert_eq!(Faults::read(&format!("no_scope_check, pull_of={id}")), Ok(both));
        assert_eq!(Faults::read(""), Ok(Faults::default()));
        for unknown in ["no_such", "pull_of=me", "pull_of"] {
            assert_eq!(Faults::read(unknown), Err(unknown.to_owned()));
        }
    }
}
