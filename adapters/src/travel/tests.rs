//! Columns of every kind, and which way each of them travels.

use super::*;

fn seen(name: &str, sort: Sort) -> Sighting {
    Sighting { sort, is_known: false, ..Sighting::own(name, false) }
}

fn rules(say: impl Fn(&mut TableRules)) -> TableRules {
    let mut rules = TableRules::default();
    say(&mut rules);
    rules
}

fn way(column: &Sighting, rules: &TableRules) -> &'static str {
    let travel = column.travel(rules);
    match (travel.home, travel.read_only, travel.references) {
        (Some(_), ..) => "home",
        (None, Some(_), _) => "out",
        (None, None, Some(_)) => "checked",
        (None, None, None) => "both",
    }
}

#[test]
fn columns_travel_as_their_names_types_and_references_say() {
    let of = |points: Points| Sighting { points, ..seen("box", Sort::Id) };
    let people = |name: &str| Sighting { is_of_people: true, ..seen(name, Sort::Text) };
    for (column, wanted) in [
        (seen("note", Sort::Text), "both"),
        (seen("api_key", Sort::Text), "home"),
        (seen("outline", Sort::Unknown), "home"),
        (seen("is_admin", Sort::Switch), "out"),
        (seen("tenant_id", Sort::Text), "out"),
        (seen("created_by", Sort::Id), "checked"),
        (seen("owner_id", Sort::Number), "out"),
        (Sighting { is_typed: true, ..seen("subject_id", Sort::Id) }, "out"),
        (of(Points::To("foods".into())), "checked"),
        (of(Points::Away("public.boxes".into())), "out"),
        (of(Points::Askew("public.foods".into())), "out"),
        // Of people nothing but what the adapter knows, and that not all both ways.
        (people("nickname"), "home"),
        (Sighting { is_known: true, ..people("name") }, "both"),
        (Sighting { is_known: true, ..people("email") }, "out"),
        (Sighting { is_known: true, ..people("created_at") }, "out"),
        // What the adapters know is theirs, whatever it is called; but not where it points.
        (Sighting { is_known: true, ..seen("password", Sort::Unknown) }, "both"),
        (Sighting { is_known: true, ..of(Points::Away("public.boxes".into())) }, "out"),
        (Sighting { is_key: true, ..of(Points::Away("auth.users".into())) }, "both"),
        // A row that is another one elsewhere as well.
        (Sighting { points: Points::Away("items".into()), ..Sighting::own("id", true) }, "out"),
        (Sighting { points: Points::To("foods".into()), ..Sighting::own("id", true) }, "checked"),
        (Sighting { points: Points::Away("logins".into()), is_of_people: true, ..Sighting::own("id", true) }, "both"),
    ] {
        assert_eq!(way(&column, &TableRules::default()), wanted, "{column:?}");
    }
}

#[test]
fn the_configuration_counts_more() {
    let named = |list: fn(&mut TableRules) -> &mut BTreeSet<String>, name: &str| {
        rules(|rules| {
            list(rules).insert(name.into());
        })
    };
    let hidden = named(|rules| &mut rules.hidden, "note");
    assert_eq!(way(&seen("note", Sort::Text), &hidden), "home");
    assert_eq!(way(&seen("note", Sort::Text), &named(|rules| &mut rules.read_only, "note")), "out");
    let send = named(|rules| &mut rules.send, "api_key");
    assert_eq!(way(&seen("api_key", Sort::Text), &send), "out", "out, and not in");
    let both = TableRules { write: send.send.clone(), ..send };
    assert_eq!(way(&seen("api_key", Sort::Text), &both), "both");
    assert_eq!(way(&seen("role", Sort::Text), &named(|rules| &mut rules.write, "role")), "both");
    let any = named(|rules| &mut rules.references, "box");
    for points in [Points::Away("boxes".into()), Points::Askew("foods".into()), Points::To("foods".into())] {
        assert_eq!(way(&Sighting { points, ..seen("box", Sort::Id) }, &any), "both");
    }
    let owner = named(|rules| &mut rules.references, "created_by");
    assert_eq!(way(&seen("created_by", Sort::Id), &owner), "both");
}

#[test]
fn a_reason_says_which_line_lifts_it() {
    for column in [seen("api_key", Sort::Text), seen("role", Sort::Text), seen("outline", Sort::Unknown)] {
        let travel = column.travel(&TableRules::default());
        let reason = travel.home.or(travel.read_only).unwrap();
        let line = reason.lifted_by(&column.name).unwrap();
        let list = [column.name.clone()].into();
        let rules = match line.split(' ').next() {
            Some("send") => TableRules { send: list, ..TableRules::default() },
            _ => TableRules { write: list, ..TableRules::default() },
        };
        assert_ne!(column.travel(&rules), column.travel(&TableRules::default()), "{line}");
        assert!(rules.complaints(&[column]).is_empty(), "{line}");
    }
}
