//! The conflict table, cell by cell, and what holds for every edit.

use proptest::prelude::{Just, any, prop_assert, prop_oneof, proptest};
use ryzed_adapters::Registry;
use serde_json::json;

use super::*;
use crate::sync::wire::Mutation;
use crate::sync::{Operation, Scope};

fn object(value: Value) -> Row {
    value.as_object().cloned().unwrap_or_default()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default()
}

fn around(strategy: Strategy) -> DecisionContext {
    let room = usize::MAX;
    DecisionContext { now: now(), floor: 0, same_epoch: true, strategy: Some(strategy), is_operators: false, room }
}

/// A HIIT session made at version 1, whose round went from 2 to 5 at version 7.
fn live() -> PendingRow {
    let row = object(json!({
        "id": "11111111-1111-4111-8111-111111111111", "user_id": "22222222-2222-4222-8222-222222222222",
        "workout_id": null, "start_time": "2026-05-01T10:00:00.000000Z", "end_time": null, "current_phase": "work",
        "current_round": 5, "is_completed": false,
        "created_at": "2026-05-01T10:00:00.000000Z", "updated_at": "2026-05-01T10:00:00.000000Z"
    }));
    let known = StoredRow {
        is_live: true,
        scope: Some(Scope::Global),
        version: 7,
        operation: Operation::Update,
        field_versions: object(json!({"*": 1, "current_round": 7})),
        previous: object(json!({"current_round": [[1, 2]]})),
    };
    PendingRow::of(known, Some(row))
}

/// The same row, deleted at version 9.
fn deleted() -> PendingRow {
    let live = live();
    let (known, row) = (live.known.unwrap(), live.row.unwrap());
    let known = StoredRow { is_live: false, previous: row, version: 9, operation: Operation::Delete, ..known };
    PendingRow::of(known, None)
}

fn mutation(operation: Intent, base: Option<Version>, fields: Value) -> Mutation {
    let mut data = object(fields);
    data.insert("id".into(), "11111111-1111-4111-8111-111111111111".into());
    Mutation {
        mutation_id: None,
        table: "hiit_sessions".into(),
        operation,
        data,
        base_version: base,
        conflict_strategy: None,
        parts: Vec::new(),
    }
}

fn judge(working: &PendingRow, mutation: &Mutation, around: &DecisionContext) -> Decision {
    let registry = Registry::standard();
    let table = registry.get("hiit_sessions").expect("a standard table");
    decide(table, working, &Asked::of(mutation.clone(), table, false, around.now), around)
}

fn stored(decision: &Decision, field: &str) -> Option<Value> {
    match &decision.effect {
        Effect::Put(set, _) => set.get(field).cloned(),
        Effect::Leave | Effect::Remove => None,
    }
}

#[test]
fn a_field_that_both_sides_changed_is_settled_by_the_strategy() {
    let edit = mutation(Intent::Update, Some(1), json!({"current_round": 3}));
    let cells = [
        (Strategy::ServerWins, 5, None),
        (Strategy::Manual, 5, None),
        (Strategy::ClientWins, 3, Some(3)),
        (Strategy::Merge, 5, None), // the greater round
    ];
    for (strategy, resolved, written) in cells {
        let decision = judge(&live(), &edit, &around(strategy));
        assert_eq!(decision.status, Status::Conflict, "{strategy:?}");
        assert_eq!(stored(&decision, "current_round"), written.map(Value::from), "{strategy:?}");
        let field = ConflictField {
            field: "current_round".into(),
            base: Some(json!(2)),
            server: Some(json!(5)),
            client: Some(json!(3)),
            resolved: Some(json!(resolved)),
        };
        assert_eq!(decision.conflict.map(|met| (met.strategy, met.fields)), Some((strategy, vec![field])));
    }
}

#[test]
fn an_edit_of_a_deleted_row_brings_it_back_or_not() {
    let edit = mutation(Intent::Update, Some(7), json!({"current_round": 6}));
    for (strategy, back) in [
        (Strategy::ServerWins, false),
        (Strategy::Manual, false),
        (Strategy::ClientWins, true),
        (Strategy::Merge, true),
    ] {
        let decision = judge(&deleted(), &edit, &around(strategy));
        assert_eq!(decision.status, Status::Conflict, "{strategy:?}");
        assert_eq!(stored(&decision, "current_round"), back.then(|| json!(6)), "{strategy:?}");
        assert_eq!(stored(&decision, "current_phase"), back.then(|| json!("work")), "the rest as it was");
    }
}

#[test]
fn a_row_of_which_only_its_end_is_known_comes_back_whole_or_not_at_all() {
    let mut unknown = deleted();
    unknown.known.iter_mut().for_each(|known| known.previous.clear());
    let edit = mutation(Intent::Update, Some(7), json!({"current_round": 6}));
    let refused = judge(&unknown, &edit, &around(Strategy::ClientWins));
    assert_eq!((refused.status, refused.effect), (Status::Rejected, Effect::Leave));
    assert_eq!(refused.errors[0].code, code::NOT_FOUND);
    let kept = judge(&unknown, &edit, &around(Strategy::ServerWins));
    assert_eq!((kept.status, kept.effect), (Status::Conflict, Effect::Leave));
    let whole = live().row.unwrap_or_default();
    let whole =
        judge(&unknown, &mutation(Intent::Upsert, Some(7), Value::Object(whole)), &around(Strategy::ClientWins));
    assert_eq!(stored(&whole, "current_phase"), Some(json!("work")));
}

#[test]
fn a_delete_of_an_edited_row_happens_only_when_the_client_wins() {
    let delete = mutation(Intent::Delete, Some(1), json!({}));
    for (strategy, gone) in [
        (Strategy::ServerWins, false),
        (Strategy::Manual, false),
        (Strategy::ClientWins, true),
        (Strategy::Merge, false),
    ] {
        let decision = judge(&live(), &delete, &around(strategy));
        assert_eq!(decision.status, Status::Conflict, "{strategy:?}");
        assert_eq!(decision.effect == Effect::Remove, gone, "{strategy:?}");
    }
}

#[test]
fn edits_of_different_fields_are_merged_and_equal_ones_are_none() {
    let other = mutation(Intent::Update, Some(1), json!({"current_phase": "rest"}));
    let decision = judge(&live(), &other, &around(Strategy::ServerWins));
    assert_eq!(decision.status, Status::Merged);
    assert_eq!(stored(&decision, "current_round"), None, "only what is set is written");
    let same = mutation(Intent::Update, Some(1), json!({"current_round": 5.0}));
    let decision = judge(&live(), &same, &around(Strategy::ServerWins));
    assert_eq!((decision.status, decision.effect), (Status::Applied, Effect::Leave));
}

#[test]
fn without_a_base_version_every_field_that_differs_conflicts() {
    let edit = mutation(Intent::Update, None, json!({"current_phase": "rest"}));
    assert_eq!(judge(&live(), &edit, &around(Strategy::ServerWins)).status, Status::Conflict);
}

#[test]
fn what_can_no_longer_be_judged_is_stale() {
    let pruned = DecisionContext { floor: 20, ..around(Strategy::ClientWins) };
    for intent in [Intent::Update, Intent::Upsert, Intent::Insert] {
        let edit = mutation(intent, Some(7), json!({"start_time": "2026-05-01T10:00:00Z"}));
        let decision = judge(&PendingRow::default(), &edit, &pruned);
        assert_eq!(decision.errors.first().map(|error| error.code.as_str()), Some(code::STALE), "{intent:?}");
    }
    let other_epoch = DecisionContext { same_epoch: false, ..around(Strategy::ClientWins) };
    let edit = mutation(Intent::Update, Some(7), json!({"current_round": 6}));
    assert_eq!(judge(&live(), &edit, &other_epoch).status, Status::Rejected);
    // Also at a version that the row here has not passed.
    let delete = mutation(Intent::Delete, Some(7), json!({}));
    assert_eq!(
        judge(&live(), &delete, &other_epoch).errors.first().map(|error| error.code.as_str()),
        Some(code::STALE)
    );
    assert_eq!(judge(&deleted(), &delete, &other_epoch).status, Status::Applied);
}

#[test]
fn a_change_builds_on_what_the_same_request_asked_for() {
    let mut working = live();
    let first = mutation(Intent::Update, Some(1), json!({"current_phase": "rest"}));
    let Effect::Put(set, brought) = judge(&working, &first, &around(Strategy::ServerWins)).effect else {
        panic!("the phase is free to change");
    };
    let replaced = working.put(set);
    working.keep(replaced, brought);
    let second = mutation(Intent::Update, Some(1), json!({"current_phase": "cooldown"}));
    assert_eq!(
        stored(&judge(&working, &second, &around(Strategy::ServerWins)), "current_phase"),
        Some(json!("cooldown"))
    );
    // A field that was lost before stays lost.
    working.mine = OwnEdits::Fields([("current_round".into(), json!(3))].into());
    let third = mutation(Intent::Update, Some(1), json!({"current_round": 4}));
    assert_eq!(judge(&working, &third, &around(Strategy::ServerWins)).status, Status::Conflict);
}

/// A recipe whose steps are long, changed by somebody else at version 7.
fn long() -> (Registry, PendingRow) {
    let row =
        object(json!({"id": "11111111-1111-4111-8111-111111111111", "steps_en": ["x".repeat(100_000)], "tags": []}));
    let known = StoredRow {
        is_live: true,
        scope: Some(Scope::Global),
        version: 7,
        operation: Operation::Update,
        field_versions: object(json!({"*": 1, "steps_en": 7, "tags": 7})),
        previous: Row::new(),
    };
    (Registry::standard(), PendingRow::of(known, Some(row)))
}

#[test]
fn what_stays_in_the_row_is_told_once_and_where_there_is_room_and_what_is_lost_always() {
    let (registry, mut working) = long();
    let table = registry.get("recipes").unwrap();
    let edit = mutation(Intent::Update, Some(1), json!({"steps_en": ["mine"]}));
    let edit = Asked::of(edit, table, false, now());
    let told = |working: &PendingRow, strategy, room| {
        let met = decide(table, working, &edit, &DecisionContext { room, ..around(strategy) }).conflict.unwrap();
        (met.fields[0].server.is_some(), met.cost)
    };
    for strategy in [Strategy::ServerWins, Strategy::Manual] {
        assert!(told(&working, strategy, usize::MAX).0);
        let (is_told, cost) = told(&working, strategy, 1000);
        assert!(!is_told && cost.told < 100, "{cost:?}");
    }
    for strategy in [Strategy::ClientWins, Strategy::Merge] {
        let (is_told, cost) = told(&working, strategy, 0);
        assert!(is_told && cost.lost > 100_000 && cost.told == cost.lost, "{cost:?}");
    }
    working.told.insert("steps_en".into());
    assert!(!told(&working, Strategy::ServerWins, usize::MAX).0, "it was told before");
    assert!(told(&working, Strategy::ClientWins, 0).0);
}

#[test]
fn a_row_over_its_bounds_may_only_shrink() {
    let (registry, mut working) = long();
    let table = registry.get("recipes").unwrap();
    let most = Weight { bytes: 1000, values: 100, memory: 0 };
    let mut put = |fields: Value| {
        let replaced = working.put(object(fields));
        let checked = check(table, &working, &replaced, most);
        if checked.is_ok() {
            working.keep(replaced, HashMap::new())
        } else {
            working.take_back(replaced)
        }
        checked.map_err(|errors| errors[0].code.clone())
    };
    assert_eq!(put(json!({"tags": ["a"]})), Err(code::TOO_LARGE.into()));
    assert_eq!(put(json!({"steps_en": ["x".repeat(50_000)], "tags": ["a"]})), Ok(()));
    assert_eq!(put(json!({"steps_en": ["short"], "tags": vec!["a"; 90]})), Ok(()));
    assert_eq!(put(json!({"steps_fr": vec!["a"; 90]})), Err(code::TOO_LARGE.into()));
}

fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![Just(Strategy::ServerWins), Just(Strategy::ClientWins), Just(Strategy::Merge), Just(Strategy::Manual)]
}

proptest! {
    #[test]
    fn an_edit_touches_only_its_fields_and_every_lost_value_is_reported(
        strategy in any_strategy(),
        base in proptest::option::of(0i64..10),
        round in 0i32..9,
        phase in prop_oneof![Just("work"), Just("rest"), Just("finished")],
        completed in any::<bool>(),
    ) {
        let sent = json!({"current_round": round, "current_phase": phase, "is_completed": completed});
        let working = live();
        let decision = judge(&working, &mutation(Intent::Update, base, sent.clone()), &around(strategy));
        let before = working.row.clone().unwrap_or_default();
        let mut after = before.clone();
        if let Effect::Put(set, _) = &decision.effect {
            after.extend(set.clone());
        }
        for (field, value) in &before {
            let touched = sent.get(field).is_some() || field == "updated_at";
            prop_assert!(touched || after.get(field) == Some(value), "{} changed unasked", field);
        }
        let reported: Vec<_> = decision.conflict.iter().flat_map(|met| &met.fields).collect();
        for (field, client) in sent.as_object().into_iter().flatten() {
            let lost = after.get(field) != Some(client);
            let told = reported.iter().any(|conflict| &conflict.field == field && conflict.client.as_ref() == Some(client));
            prop_assert!(!lost || told, "{} was lost in silence", field);
            let overwritten = after.get(field) != before.get(field) && base.is_none();
            prop_assert!(!overwritten || told, "{} was overwritten unseen and in silence", field);
        }
    }
}
