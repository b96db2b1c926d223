//! What an application's row level security means for the daemon's role. Pure.

use super::super::layout::Permits;
use super::facts::Relation;

/// What the report says of it.
pub(super) fn notes(relation: &Relation) -> Vec<String> {
    let mut notes = Vec::new();
    if !relation.is_guarded {
        notes.push(format!(
            "row level security is off and stays off, so only the daemon itself keeps people apart here. For the second line: \
             ALTER TABLE {} ENABLE ROW LEVEL SECURITY, with policies for the application's own roles",
            relation.shown()
        ));
    }
    if relation.restrictive > 0 {
        notes.push(
            "restrictive policies for everybody bind the daemon as well; see that they let ryzed_daemon pass".into(),
        );
    }
    match permits(relation) {
        Permits::Nobody if relation.is_guarded && relation.for_others > 0 => notes.push(
            "no policy of the application lets everybody or the role authenticated in, so the daemon goes by its own rules"
                .into(),
        ),
        Permits::Nobody => {}
        Permits::Everybody | Permits::Authenticated => notes
            .push("what people see and write here is what the application's policies say, within their own rows".into()),
    }
    notes
}

/// Whose policies let the daemon's role in.
pub(super) fn permits(relation: &Relation) -> Permits {
    match (relation.is_guarded, relation.for_everybody, relation.for_authenticated) {
        (true, _, 1..) => Permits::Authenticated,
        (true, 1.., _) => Permits::Everybody,
        _ => Permits::Nobody,
    }
}
