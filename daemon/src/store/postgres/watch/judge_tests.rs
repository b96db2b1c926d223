//! Facts of the catalogue about a table, and the verdicts on them.

use std::collections::BTreeMap;

use ryzed_adapters::Registry;

use super::super::super::adopt::{Facts, FoundColumn, Naming, Relation, Server, examine};
use super::super::super::layout::Layout;
use super::super::look::Stand;
use super::{Kind, Sight};

fn relation(name: &str, columns: &[(&str, &str)]) -> Relation {
    let columns = columns.iter().map(|(name, base)| FoundColumn {
        name: (*name).into(),
        sql_type: (*base).into(),
        base: (*base).into(),
        nullable: true,
        ..FoundColumn::default()
    });
    Relation {
        schema: "public".into(),
        name: name.into(),
        kind: "r".into(),
        is_ours: true,
        is_reachable: true,
        has_key: true,
        has_rls: true,
        columns: columns.collect(),
        ..Relation::default()
    }
}

fn stand(table: &str, owner: &str, lineage: &[&str]) -> Stand {
    Stand {
        table: table.into(),
        schema: Some("public".into()),
        name: Some(table.into()),
        is_as_made: true,
        continues: true,
        id: Some("id".into()),
        owner: Some(owner.into()),
        owner_column: owner.into(),
        lineage: lineage.iter().map(|name| (*name).into()).collect(),
        had_rls: true,
        has_rls: true,
        has_policies: true,
        has_triggers: true,
        is_made: true,
        ..Stand::default()
    }
}

/// Tables that are as they were adopted, after this has happened to what is found of them.
fn troubles(happens: impl FnOnce(&mut [Relation], &mut [Stand])) -> Vec<(&'static str, String, Vec<Kind>)> {
    let adapters = Registry::standard();
    let mut relations = vec![
        relation("foods", &[("id", "uuid"), ("user_id", "uuid"), ("name_en", "text"), ("shelf", "int4")]),
        relation(
            "workout_sessions",
            &[("id", "uuid"), ("user_id", "uuid"), ("name", "text"), ("start_time", "timestamptz")],
        ),
        relation("workout_exercises", &[("id", "uuid"), ("session_id", "uuid")]),
    ];
    let found = |relations: Vec<Relation>| Facts { server: Server::default(), relations };
    let made: Layout = examine(&adapters, &found(relations.clone()), &Naming::new()).layout;
    let mut stands = [
        stand("foods", "user_id", &["foods"]),
        stand("workout_sessions", "user_id", &["workout_sessions"]),
        stand("workout_exercises", "session_id", &["workout_exercises", "workout_sessions"]),
    ];
    happens(&mut relations, &mut stands);
    let stands: BTreeMap<String, Stand> = stands.into_iter().map(|stand| (stand.table.clone(), stand)).collect();
    let (registry, facts) = (made.fit(&adapters), found(relations));
    let sight = Sight { registry: &registry, made: &made, facts: &facts, stands: &stands, is_adopted: true };
    let told = sight.troubles().into_iter().map(|(table, troubles)| {
        let reasons: Vec<&str> = troubles.iter().map(|trouble| trouble.reason.as_str()).collect();
        (table, reasons.join("; "), troubles.iter().map(|trouble| trouble.kind).collect())
    });
    told.collect()
}

#[test]
fn what_is_as_it_was_is_no_trouble_and_more_columns_are_none() {
    assert_eq!(troubles(|_, _| {}), []);
    let more = FoundColumn { name: "more".into(), base: "text".into(), ..FoundColumn::default() };
    assert_eq!(troubles(|relations, _| relations[0].columns.push(more)), []);
}

#[test]
fn a_column_that_is_gone_or_another_is_told_from_one_that_the_books_depend_on() {
    let gone = troubles(|relations, _| {
        relations[0].columns.pop();
    });
    assert_eq!(gone, [("foods", "it has no column shelf any more".into(), vec![Kind::Open])]);
    let retyped = troubles(|relations, _| relations[0].columns[3].base = "text".into());
    assert!(retyped[0].1.contains("its column shelf is int4 and was int4"), "{retyped:?}");
    let renamed = troubles(|relations, stands| {
        relations[0].columns[1].name = "owner_id".into();
        (stands[0].is_as_made, stands[0].owner) = (false, Some("owner_id".into()));
    });
    assert!(renamed[0].1.starts_with("its column user_id is called owner_id now"), "{renamed:?}");
    assert_eq!(renamed[0].2[0], Kind::Strayed);
    // One of its name in its place is no better.
    let replaced = troubles(|_, stands| (stands[0].is_as_made, stands[0].owner) = (false, Some("owner_id".into())));
    assert_eq!(replaced, [("foods", "its column user_id is called owner_id now".into(), vec![Kind::Strayed])]);
}

#[test]
fn what_hangs_on_a_table_stops_with_it_and_others_do_not() {
    let moved = troubles(|_, stands| {
        (stands[1].is_as_made, stands[1].schema) = (false, Some("app".into()));
    });
    let names: Vec<&str> = moved.iter().map(|(table, ..)| *table).collect();
    assert_eq!(names, ["workout_exercises", "workout_sessions"]);
    assert!(
        moved[0].1.contains("those of workout_sessions, which is stopped") && moved[0].2 == [Kind::Strayed],
        "{moved:?}"
    );
    assert!(moved[1].1.contains("is called app.workout_sessions now"), "{moved:?}");
}

#[test]
fn what_may_have_happened_unseen_is_not_over_when_it_is_put_back() {
    for (happens, kind) in [
        ((|relations, _| relations[0].is_part = true) as fn(&mut [Relation], &mut [Stand]), Kind::Blind),
        (|relations, _| relations[0].forces_rls = true, Kind::Blind),
        (|_, stands| stands[0].has_triggers = false, Kind::Blind),
        (|_, stands| stands[0].is_off = true, Kind::Off),
        (|_, stands| stands[0].notes = vec!["since".into()], Kind::Noted),
        (|_, stands| (stands[0].is_restored, stands[0].has_triggers) = (true, false), Kind::Restored),
        (|_, stands| stands[0].has_policies = false, Kind::Open),
        (|relations, _| relations[0].has_rls = false, Kind::Open),
        (|_, stands| stands[0].passes_by = true, Kind::Open),
        (|_, stands| stands[0].may_not = vec!["UPDATE".into()], Kind::Open),
        (|_, stands| stands[0].is_closed = true, Kind::Open),
        (|relations, _| relations[0].kind = "v".into(), Kind::Open),
    ] {
        let told = troubles(happens);
        assert!(told.len() == 1 && told[0].2 == [kind], "{told:?}");
    }
}
