//! Faults that a story can switch on inside the daemon. Only the build with the feature `faults` has this file; it is
//! never installed.
//!
//! `RYZED_FAULTS` names the faults, separated by commas; one that is not known ends the process, so that no story believes
//! in a fault that is not there.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::sync::UserId;

/// Names the faults.
pub const VARIABLE: &str = "RYZED_FAULTS";

static FAULTS: OnceLock<Faults> = OnceLock::new();

/// A fault that this build does not have.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {VARIABLE}: there is no fault {0:?}")]
pub struct UnknownFault(String);

/// The switches of this process.
#[derive(Debug, Default)]
struct Faults {
    /// `no_scope_check`: whatever a person asks to write counts as theirs.
    no_scope_check: bool,
    /// `pull_of=<uuid>`: everybody's pulls ask for this person's scope, under their own claims.
    pull_of: Option<UserId>,
}

impl Faults {
    /// The faults of a list, or the first that is none.
    fn read(text: &str) -> Result<Self, UnknownFault> {
        let mut faults = Self::default();
        for fault in text.split(',').map(str::trim).filter(|fault| !fault.is_empty()) {
            match fault.split_once('=') {
                None if fault == "no_scope_check" => faults.no_scope_check = true,
                Some(("pull_of", id)) => {
                    faults.pull_of = Some(UserId(Uuid::try_parse(id).map_err(|_| UnknownFault(fault.to_owned()))?));
                }
                _ => return Err(UnknownFault(fault.to_owned())),
            }
        }
        Ok(faults)
    }
}

/// Reads the environment and says which faults there are.
///
/// # Errors
/// When it names one that there is not.
pub fn arm() -> Result<(), UnknownFault> {
    let faults = Faults::read(&std::env::var(VARIABLE).unwrap_or_default())?;
    tracing::warn!(?faults, "this build can be broken on purpose");
    FAULTS.get_or_init(|| faults);
    Ok(())
}

fn faults() -> &'static Faults {
    FAULTS.get_or_init(Faults::default)
}

/// True if the daemon skips the check that a row which is to be written is the caller's.
pub(crate) fn no_scope_check() -> bool {
    faults().no_scope_check
}

/// The person whose scope a pull of this person asks for.
pub(crate) fn pulled_by(user: UserId) -> UserId {
    faults().pull_of.unwrap_or(user)
}
