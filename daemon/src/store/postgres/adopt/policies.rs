//! Judges what an application's row level security means for the daemon's role. Pure.

use super::super::layout::Permits;
use super::facts::Relation;

/// The report's notes on the table's row level security.
pub(super) fn notes(relation: &Relation) -> Vec<String> {
    let mut notes = Vec::new();
    if !relation.has_rls {
        notes.push(format!(
            "row level security is off and stays off, so only the daemon itself keeps people apart here. For the second line: \
             ALTER TABLE {} ENABLE ROW LEVEL SECURITY, with policies for the application's own roles",
            relation.sql()
        ));
    }
    if relation.restrictive + relation.narrow_authenticated > 0 {
        notes.push(
            "restrictive policies for everybody, or the role authenticated, bind the daemon as well; see that they let ryzed_daemon pass".into(),
        );
    }
    match permits(relation) {
        Permits::Nobody if relation.has_rls && relation.for_others > 0 => notes.push(
            "no policy of the application lets everybody or the role authenticated in, so the daemon goes by its own rules"
                .into(),
        ),
        Permits::Nobody => {}
        Permits::Everybody | Permits::Authenticated => notes
            .push("what people see and write here is what the application's policies say, within their own rows".into()),
    }
    notes
}

/// The report's note on the application's grants to its people.
pub(super) fn grants(relation: &Relation) -> Option<String> {
    let rights = relation.rights.as_ref()?;
    let without = |granted: &[String]| -> Vec<&str> {
        let all = relation.columns.iter().map(|column| column.name.as_str());
        all.filter(|name| !granted.iter().any(|granted| granted == name)).collect()
    };
    let list = |what: &str, columns: Vec<&str>| match columns.len() {
        0 => None,
        count if count == relation.columns.len() => Some(what.to_owned()),
        _ => Some(format!("{what} of {}", columns.join(", "))),
    };
    let told = [
        list("read", without(&rights.select)),
        list("make rows", without(&rights.insert)).map(|told| told.replace(" of ", " with ")),
        list("change values", without(&rights.update)),
        (!rights.delete).then(|| "delete rows".to_owned()),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    let what = told.join("; ");
    (!told.is_empty())
        .then(|| format!("by the application's grants to the role authenticated, devices may not: {what}"))
}

/// Names the policies of the application by which the daemon's role gets in. The daemon's role becomes a member of
/// `authenticated` where any policy is for that role, also where the policy only narrows.
pub(in super::super) fn permits(relation: &Relation) -> Permits {
    let for_authenticated = relation.for_authenticated + relation.narrow_authenticated;
    match (relation.has_rls, relation.for_everybody, for_authenticated) {
        (true, _, 1..) => Permits::Authenticated,
        (true, 1.., _) => Permits::Everybody,
        _ => Permits::Nobody,
    }
}
