//! Planning a pull: where it starts, whether it can be served at all, where it has to end.

use super::cursor::Cursor;
use super::ids::{Scope, Version};

/// The state of a scope, as far as a pull needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// The scope.
    pub scope: Scope,
    /// Its newest version.
    pub newest: Version,
    /// The highest version whose tombstone is gone.
    pub floor: Version,
}

/// True if every change after `cursor` is still known. If not, the client has to start over.
///
/// They are not for a cursor of another epoch, for one from the future, and for one older than the kept tombstones,
/// unless its copy was begun after the pruning and so never held the deleted rows.
#[must_use]
pub fn can_serve(cursor: &Cursor, epoch: &str, stands: &[Stand]) -> bool {
    let begins = stands.iter().all(|stand| cursor.at(stand.scope) == 0);
    let same_epoch = cursor.epoch.is_empty() || cursor.epoch == epoch;
    begins
        || (same_epoch
            && stands.iter().all(|stand| {
                let at = cursor.at(stand.scope);
                at == 0 || (at <= stand.newest && at.max(cursor.begun(stand.scope)) >= stand.floor)
            }))
}

/// The same for a cursor that was found by the time at which the client last synced. Where nothing that is left is older
/// than that time, the cursor stands at zero without the copy being empty: it may hold rows whose tombstones are gone.
#[must_use]
pub fn can_serve_since(found: &Cursor, stands: &[Stand]) -> bool {
    stands.iter().all(|stand| found.at(stand.scope) >= stand.floor)
}

/// The cursor after a page: `reached` in each scope, given where the request's cursor stood.
#[must_use]
pub fn advanced(from: &Cursor, epoch: &str, stands: &[Stand], reached: &[(Scope, Version)]) -> Cursor {
    let mut cursor = Cursor::zero(epoch);
    for (scope, version) in reached {
        cursor.set(*scope, *version);
        let Some(stand) = stands.iter().find(|stand| stand.scope == *scope) else { continue };
        // Only below the floor does it matter when the copy was begun.
        if *version < stand.floor && *version > 0 {
            let begun = if from.at(*scope) == 0 { stand.newest } else { from.begun(*scope) };
            cursor.set_begun(*scope, begun);
        }
    }
    cursor
}

/// Counts the leading `sizes` that fit into `bytes`; at least one, so that every page makes progress.
#[must_use]
pub fn fitting(sizes: impl IntoIterator<Item = usize>, bytes: usize) -> usize {
    let mut total = 0usize;
    let mut count = 0;
    for size in sizes {
        total = total.saturating_add(size);
        if count > 0 && total > bytes {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(newest: Version, floor: Version) -> Stand {
        Stand { scope: Scope::Global, newest, floor }
    }

    fn at(global: Version, global_begun: Version) -> Cursor {
        Cursor { global, global_begun, ..Cursor::zero("life") }
    }

    #[test]
    fn a_cursor_below_the_floor_or_of_another_life_or_from_the_future_starts_over() {
        assert!(can_serve(&at(5, 0), "life", &[stand(9, 5)]));
        assert!(!can_serve(&at(4, 0), "life", &[stand(9, 5)]));
        assert!(!can_serve(&at(10, 0), "life", &[stand(9, 0)]));
        assert!(!can_serve(&at(5, 0), "other", &[stand(9, 0)]));
        assert!(can_serve(&at(0, 0), "other", &[stand(9, 5)]));
    }

    #[test]
    fn a_copy_that_was_begun_above_the_floor_pages_on_below_it() {
        let stands = [stand(20, 10)];
        let first = advanced(&Cursor::zero("life"), "life", &stands, &[(Scope::Global, 3)]);
        assert_eq!(first, at(3, 20));
        assert!(can_serve(&first, "life", &stands));
        let second = advanced(&first, "life", &stands, &[(Scope::Global, 7)]);
        assert_eq!(second, at(7, 20));
        assert_eq!(advanced(&second, "life", &stands, &[(Scope::Global, 12)]), at(12, 0));
        assert!(!can_serve(&second, "life", &[stand(40, 30)]), "begun before what was pruned since");
    }

    #[test]
    fn a_page_takes_what_fits_but_at_least_one() {
        assert_eq!(fitting([5, 5, 5], 10), 2);
        assert_eq!(fitting([50], 10), 1);
        assert_eq!(fitting([], 10), 0);
    }

    #[test]
    fn a_time_before_all_that_is_left_says_nothing_about_what_is_gone() {
        assert!(can_serve(&at(0, 0), "life", &[stand(9, 5)]), "a copy that begins");
        assert!(!can_serve_since(&at(0, 0), &[stand(9, 5)]));
        assert!(!can_serve_since(&at(4, 0), &[stand(9, 5)]));
        assert!(can_serve_since(&at(5, 0), &[stand(9, 5)]));
        assert!(can_serve_since(&at(0, 0), &[stand(9, 0)]), "nothing was ever forgotten");
    }
}
