//! Tables that the configuration declares: a block, a start, and devices sync them like any other.

use ryzed_tests::{Account, Daemon, Database, Person, Ran, delete, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const SLEEP: &str = r#"
[tables.sleep_logs]
owner = "user_id"
strategy = "merge"
ordered = [["began_at", "ended_at"]]
[tables.sleep_logs.columns]
began_at = { type = "time", required = true }
ended_at = { type = "time" }
quality  = { type = "integer", min = 1, max = 5 }
place    = { type = "enum", values = ["bed", "sofa"], default = "bed" }
facts    = { type = "json" }
depth    = { type = "number", default = 0.5 }
snored   = { type = "bool", default = false, merge = "or" }
labels   = { type = "text_list", default = ["o'clock \"7\""], merge = "union" }
session  = { type = "uuid", references = "cardio_sessions" }
"#;

pub(crate) fn write(daemon: &Daemon, configuration: &str) {
    // Seconds of patience less: what is to be compared with the index is so at a sweep.
    let all = format!("[sync]\nsweep_seconds = 1\n{configuration}");
    std::fs::write(daemon.folder().join("ryzed.toml"), all).expect("a file");
}

pub(crate) async fn restarted(daemon: &mut Daemon, configuration: &str) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    write(daemon, configuration);
    daemon.restart();
}

pub(crate) async fn declaring(configuration: &str) -> Daemon {
    let mut daemon = Daemon::builder().alone().start();
    restarted(&mut daemon, configuration).await;
    daemon
}

pub(crate) fn sleep_log(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "began_at": "2026-01-05T22:00:00Z"});
    row.as_object_mut().expect("a row").extend(with.as_object().cloned().unwrap_or_default());
    row
}

/// What is wrong with a change, in order.
pub(crate) async fn faults(me: &Account, row: &Value) -> String {
    let result = me.change(insert("sleep_logs", row)).await;
    assert_eq!(result["status"], "rejected", "{result}");
    let word =
        |error: &Value| format!("{} {}", error["field"].as_str().unwrap_or("?"), error["code"].as_str().unwrap_or("?"));
    let mut faults: Vec<String> = result["errors"].as_array().into_iter().flatten().map(word).collect();
    faults.sort();
    faults.join(", ")
}

/// The name of the table in SQL.
pub(crate) fn sql(daemon: &Daemon, statement: &str) -> String {
    daemon.database().run(statement)
}

#[tokio::test]
async fn a_block_is_all_that_a_table_needs() {
    let daemon = declaring(SLEEP).await;
    let me = daemon.account();
    let tables = me.api.get("/tables").await.ok();
    let told = tables["tables"].as_array().into_iter().flatten().find(|table| table["name"] == "sleep_logs").cloned();
    let told = told.unwrap_or_else(|| panic!("{tables}"));
    assert_eq!(
        (&told["scope"], &told["conflict_strategy"], &told["domain"]),
        (&json!("user"), &json!("merge"), &json!("own"))
    );
    assert_eq!(me.api.get("/tables/sleep_logs/schema").await.ok()["properties"]["quality"]["maximum"], 5);
    let topics = me.api.get("/topics").await.ok();
    assert!(topics.to_string().contains(&format!("user:{}:sleep_logs", me.person.id)), "{topics}");
    // One device writes, the other hears of it.
    let (mut phone, mut tablet) = (me.socket("phone").await, me.socket("tablet").await);
    let row = sleep_log(json!({"quality": 4, "facts": {"dreams": [1, 2]}, "labels": ["deep"]}));
    phone.send(insert("sleep_logs", &row).message()).await;
    let result = phone.next("change_result").await;
    let heard = tablet.next("data_updated").await;
    let data = &heard["data"];
    assert_eq!(
        (&data["quality"], &data["facts"], &data["place"]),
        (&json!(4), &json!({"dreams": [1, 2]}), &json!("bed"))
    );
    assert_eq!((&data["snored"], &data["depth"], &data["ended_at"]), (&json!(false), &json!(0.5), &Value::Null));
    assert_eq!((&heard["version"], &data["began_at"]), (&result["version"], &json!("2026-01-05T22:00:00.000000Z")));
    // SQL writes are heard as well, and defaults are the database's own.
    let (id, user) = (Uuid::new_v4(), me.person.id);
    sql(
        &daemon,
        &format!(
            "INSERT INTO sleep_logs (id, user_id, began_at) VALUES ('{id}', '{user}', '2026-01-06T22:00:00.000000Z')"
        ),
    );
    let heard = tablet.next("database_change").await;
    let new = &heard["new_record"];
    assert_eq!(
        (&new["labels"], &new["place"], &new["depth"]),
        (&json!(["o'clock \"7\""]), &json!("bed"), &json!(0.5)),
        "{heard}"
    );
    let (mut one, mut two) = (me.device("one"), me.device("two"));
    one.sync().await;
    two.sync().await;
    assert_eq!(one.rows["sleep_logs"].len(), 2);
    assert_eq!(one.row("sleep_logs", &row["id"]).expect("the row")["quality"], 4);
    assert!(two.is_complete().await.expect("a digest") && daemon.database().is_sound());
    // What is wrong names its field.
    assert_eq!(
        faults(&me, &sleep_log(json!({"quality": 6, "place": "car", "labels": [1], "nope": 1}))).await,
        "labels wrong_type, nope unknown_field, place not_allowed, quality out_of_range"
    );
    assert_eq!(faults(&me, &json!({"id": Uuid::new_v4()})).await, "began_at required");
    assert_eq!(faults(&me, &sleep_log(json!({"ended_at": "2026-01-05T21:00:00Z"}))).await, "ended_at inconsistent");
    assert_eq!(faults(&me, &sleep_log(json!({"session": Uuid::new_v4()}))).await, "session invalid_reference");
    // Strangers see nothing of it.
    let stranger = daemon.account();
    assert!(stranger.rows("sleep_logs").await.is_empty());
    assert_eq!(stranger.refusal(update("sleep_logs", &row["id"], json!({"quality": 1}))).await, "forbidden");
}

#[tokio::test]
async fn columns_merge_by_their_rules_and_references_are_let_go() {
    let daemon = declaring(SLEEP).await;
    let me = daemon.account();
    let session = ryzed_tests::rows::row("cardio_sessions", json!({}));
    let session_version = me.store("cardio_sessions", &session).await;
    let row = sleep_log(json!({"labels": ["a"], "session": session["id"]}));
    let base = me.store("sleep_logs", &row).await;
    me.apply(update("sleep_logs", &row["id"], json!({"labels": ["a", "b"], "snored": true})).base(&base)).await;
    let answer =
        me.push_from("tablet", [update("sleep_logs", &row["id"], json!({"labels": ["a", "c"]})).base(&base)]).await;
    assert_eq!(answer["conflicts"][0]["strategy"], "merge", "{answer}");
    let stored = me.row("sleep_logs", &row["id"]).await.expect("the row");
    assert_eq!((&stored["labels"], &stored["snored"]), (&json!(["a", "b", "c"]), &json!(true)));
    me.apply(delete("cardio_sessions", &session["id"]).base(&session_version)).await;
    assert_eq!(me.row("sleep_logs", &row["id"]).await.expect("the row")["session"], Value::Null);
}

#[tokio::test]
async fn a_catalogue_and_its_parts_are_everybodys() {
    let daemon = declaring(
        r#"
[tables.night_parts]
owner = { via = "plan_id" }
columns = { plan_id = { type = "uuid", required = true, references = "sleep_plans" }, value = { type = "number", required = true } }
[tables.sleep_plans]
owner = "catalogue"
domain = "sleep"
columns = { title = { type = "text", length = 20, required = true }, after_plan = { type = "uuid", references = "sleep_plans" } }
"#,
    )
    .await;
    let (keeper, me, other) = (daemon.account_of(Person::admin()), daemon.account(), daemon.account());
    let mut theirs = other.socket("theirs").await;
    let plan = json!({"id": Uuid::new_v4(), "user_id": null, "title": "Early"});
    keeper.store("sleep_plans", &plan).await;
    let heard = theirs.next_where("data_updated", |message| message["table"] == "sleep_plans").await;
    assert_eq!(heard["scope"], "global");
    assert_eq!(
        me.refusal(insert("sleep_plans", &json!({"id": Uuid::new_v4(), "user_id": null, "title": "Late"}))).await,
        "forbidden"
    );
    let mine = json!({"id": Uuid::new_v4(), "title": "Mine", "after_plan": plan["id"]});
    let version = me.store("sleep_plans", &mine).await;
    let part = json!({"id": Uuid::new_v4(), "plan_id": mine["id"], "value": 1.5});
    let part_version = me.store("night_parts", &part).await;
    keeper.store("night_parts", &json!({"id": Uuid::new_v4(), "plan_id": plan["id"], "value": 2})).await;
    assert_eq!((me.rows("night_parts").await.len(), other.rows("night_parts").await.len()), (2, 1));
    me.apply(update("night_parts", &part["id"], json!({"value": 2.5})).base(&part_version)).await;
    me.apply(delete("sleep_plans", &mine["id"]).base(&version)).await;
    assert_eq!(me.rows("night_parts").await.len(), 1, "a part goes with what it is a part of");
    assert!(daemon.database().is_sound());
}

/// The block of docs/adding-a-table.md, word by word.
fn block_of_the_page() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/adding-a-table.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, block) = page.split_once("```toml\n").expect("a block");
    block.split_once("```").expect("its end").0.to_owned()
}

#[tokio::test]
async fn the_block_of_the_page_is_a_table_that_devices_sync() {
    let block = block_of_the_page();
    assert!(block.lines().count() <= 12, "{block}");
    // From the first start on.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), block).expect("the block");
    let daemon = Daemon::builder().alone().env("RYZED_CONFIG", file.path().display()).start();
    let me = daemon.account();
    let mut tablet = me.socket("tablet").await;
    let run = ryzed_tests::rows::row("cardio_sessions", json!({}));
    me.store("cardio_sessions", &run).await;
    me.store("sleep_logs", &sleep_log(json!({"quality": 5, "labels": ["late"], "session": run["id"]}))).await;
    let heard = tablet.next_where("data_updated", |message| message["table"] == "sleep_logs").await;
    assert_eq!((&heard["data"]["quality"], &heard["data"]["session"]), (&json!(5), &run["id"]));
}

/// What the database's catalogue says of a table.
fn described(database: &Database) -> String {
    database.run(match database {
        Database::Sqlite(_) => {
            "SELECT sql FROM sqlite_schema WHERE tbl_name = 'sleep_logs' AND type <> 'trigger' AND sql IS NOT NULL ORDER BY name"
        }
        Database::Postgres(_) => {
            "SELECT string_agg(x, chr(10) ORDER BY x) FROM (SELECT concat_ws(' ', a.attname, a.atttypid::regtype, a.attnotnull, \
             pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = 'sleep_logs'::regclass AND a.attnum > 0 UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint \
             WHERE conrelid = 'sleep_logs'::regclass AND contype <> 'n' UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index \
             WHERE indrelid = 'sleep_logs'::regclass) AS x (x)"
        }
    })
}

#[tokio::test]
async fn the_printed_statements_make_the_same_table() {
    let daemon = declaring(SLEEP).await;
    let printed = Ran::of(&mut daemon.command(&["tables", "--sql", "sleep_logs"])).ok();
    let (sqlite, postgres) = printed.split_once("-- PostgreSQL\n").expect("two parts");
    let made = described(&daemon.database());
    // On a daemon's database that knows nothing of the table yet.
    let mut other = Daemon::builder().alone().start();
    let statements = if matches!(other.database(), Database::Sqlite(_)) { sqlite } else { postgres };
    // The shell would take a comment at the beginning for an option.
    sql(&other, &format!(";\n{statements}"));
    assert_eq!(described(&other.database()), made);
    // The daemon takes it for its own, with the rows that it has.
    let me = other.account();
    me.store("users", &json!({"id": me.person.id})).await;
    let (id, user) = (Uuid::new_v4(), me.person.id);
    sql(
        &other,
        &format!(
            "INSERT INTO sleep_logs (id, user_id, began_at) VALUES ('{id}', '{user}', '2026-01-06T22:00:00.000000Z')"
        ),
    );
    restarted(&mut other, SLEEP).await;
    assert_eq!(me.rows("sleep_logs").await.len(), 1);
    // The fifteen are printed as well, and what is none is refused.
    let foods = Ran::of(&mut daemon.command(&["tables", "--sql", "foods"])).ok();
    assert!(foods.contains("CREATE TABLE foods (") && foods.contains("CREATE TABLE public.foods ("), "{foods}");
    assert_eq!(Ran::of(&mut daemon.command(&["tables", "--sql", "foodz"])).code, 2);
    let specs: Value = serde_json::from_str(&Ran::of(&mut daemon.command(&["tables", "--json"])).ok()).expect("JSON");
    let spec = specs.as_array().into_iter().flatten().find(|spec| spec["name"] == "sleep_logs").expect("the table");
    assert_eq!(spec["ordered"], json!([["began_at", "ended_at"]]));
    assert_eq!(spec["schema"], daemon.account().api.get("/tables/sleep_logs/schema").await.ok());
}

#[tokio::test]
async fn commands_know_a_declared_table() {
    let mut daemon = declaring(SLEEP).await;
    let me = daemon.account();
    let user = me.person.id.to_string();
    me.store("sleep_logs", &sleep_log(json!({"quality": 2, "labels": ["a \\ \"b\""]}))).await;
    assert!(Ran::of(&mut daemon.command(&["tables"])).ok().contains("sleep_logs"));
    let file = daemon.folder().join("logs.csv");
    std::fs::write(&file, "began_at,quality\n2026-01-07T22:00:00Z,1\n").expect("a file");
    let path = file.to_str().expect("a path");
    let _ = Ran::of(&mut daemon.command(&["import", path, "--table", "sleep_logs", "--user", &user])).ok();
    assert_eq!(me.rows("sleep_logs").await.len(), 2);
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    // As a whole into another database, where devices go on.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let archive = daemon.folder().join("all.ndjson");
    let archive = archive.to_str().expect("a path");
    let _ = Ran::of(&mut daemon.command(&["export", "--all", "--seal", "--output", archive])).ok();
    let mut other = declaring(SLEEP).await;
    other.terminate();
    assert_eq!(other.exit_code().await, 0);
    let _ = Ran::of(&mut other.command(&["import", "--all", archive])).ok();
    other.restart();
    let there = other.account_of(me.person.clone());
    assert_eq!(there.rows("sleep_logs").await.len(), 2);
    let again = there.sync(json!({"cursor": tablet.cursor})).await;
    assert_eq!((&again["reset"], &again["total_changes"]), (&json!(false), &json!(0)), "{again}");
    assert!(matches!(other.database(), Database::Sqlite(_)) == matches!(daemon.database(), Database::Sqlite(_)));
}

/// Words that mean something somewhere in SQL, or within the daemon's own statements, and that a column may be called all the same.
const WORDS: &str = "abort action after always attach before begin bigint bit boolean by c cascade char character coalesce column1 \
    column2 conflict count current d data database date dec decimal deep deferred detach device e each entries excluded exclude \
    exclusive explain extract fail field_versions filter first float following former fullkey generated given glob greatest g \
    grouping groups i ids if ignore immediate indexed inout instead int integer interval json json_array json_each json_object \
    json_value k key last least level long m match materialized n name national nchar new no none normalize now nullif nulls numeric o \
    of old operation others out over overlay own p parent partition path plan position pragma preceding precision previous query \
    r raise range real recursive regexp reindex release rename replace restrict role rollback row row_id rows rule s savepoint scope \
    setof smallint state substring t table_name temp temporary text ties time timestamp title treat trigger trim type u unbounded \
    uuid vacuum value varchar version view virtual without x xmlroot zone";

#[tokio::test]
async fn a_table_may_be_wide_and_its_columns_may_be_called_as_they_like() {
    let most = 200;
    let words = WORDS.split_ascii_whitespace().map(str::to_owned);
    let names: Vec<String> = words.chain((0..most).map(|n| format!("filler_{n}"))).take(most).collect();
    let kinds = ["text", "number", "integer", "bool", "text_list", "json", "time"];
    let values = [
        json!("a"),
        json!(1.5),
        json!(7),
        json!(true),
        json!(["b"]),
        json!({"c": [1]}),
        json!("2026-01-05T22:00:00.000000Z"),
    ];
    let columns: String = names
        .iter()
        .enumerate()
        .map(|(n, name)| format!("{name} = {{ type = \"{}\" }}\n", kinds[n % kinds.len()]))
        .collect();
    let block = format!("[tables.value]\nowner = \"user_id\"\n[tables.value.columns]\n{columns}");
    let mut daemon = declaring(&block).await;
    let me = daemon.account();
    let mut tablet = me.socket("tablet").await;
    let mut row = json!({"id": Uuid::new_v4()});
    names.iter().enumerate().for_each(|(n, name)| row[name] = values[n % values.len()].clone());
    let version = me.store("value", &row).await;
    let data = tablet.next("data_updated").await["data"].clone();
    assert!(names.iter().all(|name| data[name] == row[name]), "{data}");
    let edits: Value =
        names.iter().enumerate().filter(|(n, _)| n % 7 == 0).map(|(_, name)| (name.clone(), json!("z"))).collect();
    let version = me.apply(update("value", &row["id"], edits).base(&version)).await;
    assert_eq!(tablet.next("data_updated").await["data"][&names[0]], "z");
    me.apply(delete("value", &row["id"]).base(&version)).await;
    row["id"] = json!(Uuid::new_v4());
    me.store("value", &row).await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let archive = daemon.folder().join("all.ndjson");
    let archive = archive.to_str().expect("a path");
    let _ = Ran::of(&mut daemon.command(&["export", "--all", "--output", archive])).ok();
    let mut other = declaring(&block).await;
    other.terminate();
    assert_eq!(other.exit_code().await, 0);
    let _ = Ran::of(&mut other.command(&["import", "--all", archive])).ok();
    other.restart();
    let there = other.account_of(me.person.clone()).row("value", &row["id"]).await.expect("the row");
    assert!(names.iter().all(|name| there[name] == row[name]), "{there}");
}
