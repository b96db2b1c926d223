//! The pure core, without a database and without a socket: what one change costs in decisions alone.
//!
//! - **decide**: a new row; an edit that nobody else has touched; an edit that meets another one, by strategy;
//! - **merge**: one value by each rule that has something to do;
//! - **cursor**: from an address and back;
//! - **frame**: a change as all devices get it, and as a device sends it;
//! - **page**: the plan of a pull, and the rows that fit.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use ryzed::actors::encode_change;
use ryzed::sync::asked::Asked;
use ryzed::sync::decide::{DecisionContext, PendingRow, decide};
use ryzed::sync::page::{Stand, advanced, can_serve, fitting};
use ryzed::sync::raw::weigh;
use ryzed::sync::stored_row::StoredRow;
use ryzed::sync::wire::{Intent, Mutation};
use ryzed::sync::{ChangeRecord, Cursor, Operation, Scope, UserId};
use ryzed_adapters::{Merge, Registry, Row, Strategy};
use ryzed_benches::generator::words;
use ryzed_benches::requested;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
const PERSON: Uuid = Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222);
const TABLE: &str = "hiit_sessions";
/// The rows of a page, each about as long as those of a diary.
const PAGE: usize = 1000;
const ROW_BYTES: usize = 400;
const PAGE_BYTES: usize = 4 << 20;
const MOST_BYTES: usize = 64 << 20;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default()
}

fn object(value: Value) -> Row {
    value.as_object().cloned().unwrap_or_default()
}

/// A session of version 1 whose round somebody changed at version 7.
fn stored() -> PendingRow {
    let row =
        object(json!({"id": ID, "user_id": PERSON, "workout_id": null, "start_time": "2026-05-01T10:00:00.000000Z",
        "end_time": null, "current_phase": "work", "current_round": 5, "is_completed": false,
        "created_at": "2026-05-01T10:00:00.000000Z", "updated_at": "2026-05-01T10:00:00.000000Z"}));
    let known = StoredRow {
        is_live: true,
        scope: Some(Scope::User(UserId(PERSON))),
        version: 7,
        operation: Operation::Update,
        field_versions: object(json!({"*": 1, "current_round": 7})),
        previous: object(json!({"current_round": [[1, 2]]})),
    };
    PendingRow::of(known, Some(row))
}

fn mutation(operation: Intent, base_version: Option<i64>, fields: Value) -> Mutation {
    let mut data = object(fields);
    data.insert("id".into(), json!(ID));
    let (mutation_id, parts) = (Some(ID), Vec::new());
    Mutation { mutation_id, table: TABLE.into(), operation, data, base_version, conflict_strategy: None, parts }
}

fn decisions(criterion: &mut Criterion) {
    let registry = Registry::standard();
    let table = registry.get(TABLE).expect("a standard table");
    let around = |strategy| DecisionContext {
        now: now(),
        floor: 0,
        same_epoch: true,
        strategy: Some(strategy),
        is_operators: false,
        room: usize::MAX,
    };
    let insert = mutation(Intent::Insert, None, json!({"start_time": "2026-05-01T10:00:00Z", "current_round": 1}));
    let edit = mutation(Intent::Update, Some(1), json!({"current_phase": "rest"}));
    let meets = mutation(Intent::Update, Some(1), json!({"current_round": 3}));
    let cases = [
        ("insert", PendingRow::default(), insert, Strategy::ServerWins),
        ("edit", stored(), edit, Strategy::ServerWins),
        ("conflict_server_wins", stored(), meets.clone(), Strategy::ServerWins),
        ("conflict_merge", stored(), meets, Strategy::Merge),
    ];
    let mut group = criterion.benchmark_group("decide");
    for (name, row, change, strategy) in cases {
        let around = around(strategy);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let asked = Asked::of(black_box(&change).clone(), table, false, now());
                decide(table, black_box(&row), &asked, &around)
            });
        });
    }
    group.finish();
}

fn merges(criterion: &mut Criterion) {
    let list = |from: u32| json!((from..from + 100).collect::<Vec<_>>());
    let cases = [
        ("max", Merge::Max, json!(2), json!(5), json!(3)),
        ("sum", Merge::Sum, json!(10), json!(14), json!(11)),
        ("union_of_100", Merge::Union, list(0), list(0), list(50)),
    ];
    let mut group = criterion.benchmark_group("merge");
    for (name, rule, base, server, client) in cases {
        group.bench_function(name, |bencher| bencher.iter(|| rule.settle(Some(&base), black_box(&server), &client)));
    }
    group.finish();
}

fn cursors(criterion: &mut Criterion) {
    let text = "k3f9abcd,user:1234567,global:7654321";
    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("read", |bencher| bencher.iter(|| black_box(text).parse::<Cursor>().is_ok()));
    let cursor: Cursor = text.parse().expect("a cursor");
    group.bench_function("write", |bencher| bencher.iter(|| black_box(&cursor).to_string()));
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let sent = words::frame(ID, 1);
    let record = ChangeRecord {
        scope: Scope::User(UserId(PERSON)),
        version: 7,
        table: words::TABLE,
        operation: Operation::Insert,
        id: ID.to_string().as_str().into(),
        source_device: Some("phone".parse().expect("a device")),
        row: Some(RawValue::from_string(words::row(ID, 1)).expect("JSON")),
        old: None,
    };
    let mut group = criterion.benchmark_group("frame");
    group.bench_function("to_devices", |bencher| bencher.iter(|| encode_change(black_box(&record), now())));
    group.bench_function("from_device", |bencher| {
        bencher.iter(|| {
            let weight = weigh(black_box(sent.as_bytes()), MOST_BYTES);
            weight.is_ok().then(|| serde_json::from_str::<Mutation>(&sent).is_ok())
        });
    });
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let scopes = [Scope::User(UserId(PERSON)), Scope::Global];
    let stands = scopes.map(|scope| Stand { scope, newest: 5000, floor: 100 });
    let from: Cursor = "k3f9abcd,user:1200,global:5000".parse().expect("a cursor");
    let mut group = criterion.benchmark_group("page");
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let can = can_serve(black_box(&from), "k3f9abcd", &stands);
            can.then(|| advanced(&from, "k3f9abcd", &stands, &[(scopes[0], 2200)]))
        });
    });
    group.bench_function("fitting_1000", |bencher| {
        bencher.iter(|| fitting(black_box([ROW_BYTES; PAGE]), PAGE_BYTES));
    });
    group.finish();
}

fn core(criterion: &mut Criterion) {
    if !requested() {
        return;
    }
    for part in [decisions, merges, cursors, frames, pages] {
        part(criterion);
    }
}

criterion_group!(benches, core);
criterion_main!(benches);
