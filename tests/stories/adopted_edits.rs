//! An edit of an application's row is an `UPDATE` of what was brought: nothing that the application does to new rows happens to
//! it, and nobody needs a right to make rows for it.

use ryzed_tests::{Account, Application, Daemon, delete, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// An application's rules for new rows: an audit, a stamp, a first state, a quota. Besides, one rule for a column that
/// nobody sets.
const RULES: &str = "
    ALTER TABLE food_entries ADD state text NOT NULL DEFAULT 'draft', ADD label text;
    CREATE TABLE app.audit (what text, id uuid);
    CREATE FUNCTION app.on_new() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF (SELECT count(*) FROM food_entries WHERE user_id = NEW.user_id) >= 560 THEN RAISE EXCEPTION 'your quota is used up'; END IF;
        NEW.created_at := now(); NEW.state := 'draft'; NEW.label := md5(random()::text);
        RETURN NEW; END $$;
    CREATE TRIGGER on_new BEFORE INSERT ON food_entries FOR EACH ROW EXECUTE FUNCTION app.on_new();
    CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO app.audit VALUES (TG_OP, COALESCE(NEW.id, OLD.id)); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON food_entries FOR EACH ROW EXECUTE FUNCTION app.note();
    CREATE FUNCTION app.fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the label is fixed'; END $$;
    CREATE TRIGGER fixed BEFORE UPDATE OF label, created_at ON food_entries FOR EACH ROW EXECUTE FUNCTION app.fixed();
    UPDATE food_entries SET state = 'published' WHERE id = md5('entry 1')::uuid; DELETE FROM app.audit";

fn ruled(more: &str) -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(more);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

async fn base(me: &Account, id: &Value) -> Value {
    me.row("food_entries", id).await.expect("the row")["_version"].clone()
}

/// Edits a number of the entry of this number; what came of it.
async fn edited(app: &Application, me: &Account, number: u32, quantity: u32) -> Value {
    let id = json!(app.id("entry", number));
    me.change(update("food_entries", &id, json!({"quantity": quantity})).base(&base(me, &id).await)).await
}

fn meal() -> Value {
    json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"})
}

#[tokio::test]
async fn nothing_that_is_done_to_new_rows_is_done_to_an_edited_one() {
    let (app, daemon) = ruled(RULES);
    let me = app.account(&daemon, 1);
    let row = "SELECT created_at, state, label IS NULL FROM food_entries WHERE id = md5('entry 1')::uuid";
    let before = app.sql(row);
    let result = edited(&app, &me, 1, 77).await;
    assert_eq!(result["status"], "applied", "the quota is about new rows: {result}");
    assert_eq!(app.sql(row), before);
    assert_eq!(app.sql("SELECT what, id = md5('entry 1')::uuid FROM app.audit"), "UPDATE|t");
    // An edit of several rows, each of other fields, is an update of each.
    let (two, three) = (json!(app.id("entry", 2)), json!(app.id("entry", 3)));
    let changes = [
        update("food_entries", &two, json!({"quantity": 5, "note": "a"})).base(&base(&me, &two).await),
        update("food_entries", &three, json!({"calories": 5})).base(&base(&me, &three).await),
        insert("food_entries", &meal()),
    ];
    let results = me.push(changes).await["results"].clone();
    let told: Vec<&Value> = results.as_array().expect("results").iter().map(|result| &result["status"]).collect();
    assert_eq!(told, ["applied", "applied", "rejected"], "{results}");
    assert_eq!(app.sql("SELECT string_agg(DISTINCT what, ' '), count(*) FROM app.audit"), "UPDATE|3");
    // A new row is an insert, and has what the application gives it.
    me.change(delete("food_entries", &two).strategy("client_wins")).await;
    let meal = meal();
    me.store("food_entries", &meal).await;
    assert_eq!(app.sql("SELECT count(*) FROM app.audit WHERE what = 'INSERT'"), "1");
    assert_eq!(me.row("food_entries", &meal["id"]).await.expect("the row")["state"], "draft");
    // And a row that is made and edited in one request is made once, as the application would have it.
    let id = json!(app.id("entry", 5));
    me.change(delete("food_entries", &id).strategy("client_wins")).await;
    let other = self::meal();
    let changes = [insert("food_entries", &other), update("food_entries", &other["id"], json!({"quantity": 9}))];
    let results = me.push(changes).await["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("applied"), &json!("applied")), "{results}");
    assert_eq!(me.row("food_entries", &other["id"]).await.expect("the row")["quantity"], 9);
}

#[tokio::test]
async fn an_application_that_gives_each_new_row_another_id_has_no_second_row_of_an_edit() {
    let (app, daemon) = ruled(
        "CREATE FUNCTION app.named() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := gen_random_uuid(); RETURN NEW; END $$; \
         CREATE TRIGGER named BEFORE INSERT ON food_entries FOR EACH ROW EXECUTE FUNCTION app.named()",
    );
    let me = app.account(&daemon, 1);
    assert_eq!(edited(&app, &me, 1, 77).await["status"], "applied");
    assert_eq!(
        app.sql("SELECT count(*), max(quantity) FILTER (WHERE id = md5('entry 1')::uuid) FROM food_entries"),
        "560|77.00"
    );
}

#[tokio::test]
async fn who_may_edit_and_not_make_rows_edits_them() {
    let (app, daemon) = ruled(
        "DROP POLICY \"Own, or of nobody blocked\" ON food_entries; \
         CREATE POLICY sees ON food_entries FOR SELECT USING (user_id = auth.uid()); \
         CREATE POLICY edits ON food_entries FOR UPDATE USING (user_id = auth.uid() AND note IS DISTINCT FROM 'closed') \
             WITH CHECK (quantity < 100); \
         CREATE POLICY makes ON food_entries FOR INSERT WITH CHECK (quantity < 10); \
         UPDATE food_entries SET note = 'closed' WHERE id = md5('entry 2')::uuid",
    );
    let me = app.account(&daemon, 1);
    assert_eq!(edited(&app, &me, 1, 50).await["status"], "applied", "the policy for new rows says nothing of edits");
    for (number, quantity) in [(1, 500), (2, 5)] {
        let result = edited(&app, &me, number, quantity).await;
        assert_eq!(
            (&result["status"], &result["errors"][0]["code"]),
            (&json!("rejected"), &json!("constraint")),
            "{result}"
        );
    }
    let large = json!({"id": Uuid::new_v4(), "quantity": 50, "consumed_at": "2026-05-01T08:00:00.000000Z"});
    assert_eq!(me.change(insert("food_entries", &large)).await["status"], "rejected");
    me.store("food_entries", &meal()).await;
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[tokio::test]
async fn a_table_with_a_rule_takes_edits_and_new_rows() {
    let (app, daemon) = ruled(
        "CREATE TABLE app.seen (id uuid); \
         CREATE RULE seen AS ON INSERT TO food_entries DO ALSO INSERT INTO app.seen VALUES (NEW.id)",
    );
    let me = app.account(&daemon, 1);
    app.sql("GRANT INSERT ON app.seen TO PUBLIC");
    assert_eq!(edited(&app, &me, 1, 77).await["status"], "applied");
    assert_eq!(app.sql("SELECT count(*) FROM app.seen"), "0");
    me.store("food_entries", &meal()).await;
    assert_eq!(app.sql("SELECT count(*) FROM app.seen"), "1");
}

#[tokio::test]
async fn known_rows_that_a_trigger_for_new_ones_passes_over_are_edited() {
    let (app, daemon) = ruled(
        "CREATE FUNCTION app.once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF EXISTS (SELECT FROM food_entries WHERE id = NEW.id) THEN RETURN NULL; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER once BEFORE INSERT ON food_entries FOR EACH ROW EXECUTE FUNCTION app.once()",
    );
    let me = app.account(&daemon, 1);
    assert_eq!(edited(&app, &me, 1, 77).await["status"], "applied");
    assert_eq!(app.sql("SELECT quantity FROM food_entries WHERE id = md5('entry 1')::uuid"), "77.00");
}

#[tokio::test]
async fn who_was_granted_one_column_sets_that_one_and_no_other_is_named() {
    let (app, daemon) = ruled(
        "REVOKE ALL ON food_entries FROM authenticated; GRANT SELECT, UPDATE (calories) ON food_entries TO authenticated; \
         CREATE FUNCTION app.fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fixed'; END $$; \
         CREATE TRIGGER fixed BEFORE UPDATE OF quantity, note, user_id, eaten_at, created_at ON food_entries \
             FOR EACH ROW EXECUTE FUNCTION app.fixed()",
    );
    let me = app.account(&daemon, 1);
    let id = json!(app.id("entry", 1));
    let version = base(&me, &id).await;
    me.apply(update("food_entries", &id, json!({"calories": 9})).base(&version)).await;
    let result = me.change(update("food_entries", &id, json!({"quantity": 9})).base(&version)).await;
    assert_eq!(result["errors"][0]["code"], "read_only", "{result}");
}

#[tokio::test]
async fn a_row_may_come_before_the_one_of_its_own_table_that_it_refers_to() {
    let tables = "CREATE TABLE accounts (id uuid PRIMARY KEY); INSERT INTO accounts VALUES (md5('user 1')::uuid);
        CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES accounts, name_en text UNIQUE, made_of uuid REFERENCES foods)";
    let app = Application::made_by(ryzed_tests::postgres::new_database(), tables, "");
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let made_of = |name: &str, other: &Value| json!({"id": Uuid::new_v4(), "name_en": name, "made_of": other});
    let push = async |changes: Vec<ryzed_tests::Change>| {
        let changes: Vec<Value> = changes.iter().map(ryzed_tests::Change::json).collect();
        let answer = me.sync(json!({"tables": ["foods"], "changes": changes})).await;
        let results = answer["results"].as_array().expect("results").clone();
        results.iter().map(|result| result["status"].as_str().expect("a status").to_owned()).collect::<Vec<_>>()
    };
    let dough = made_of("dough", &Value::Null);
    let crust = made_of("crust", &dough["id"]);
    let pie = made_of("pie", &crust["id"]);
    assert_eq!(push([&pie, &dough, &crust].map(|row| insert("foods", row)).to_vec()).await, ["applied"; 3]);
    // Also where another row is refused, and in a circle.
    let (twin, jam) = (made_of("pie", &Value::Null), made_of("jam", &Value::Null));
    let toast = made_of("toast", &jam["id"]);
    let changes = vec![
        insert("foods", &toast),
        insert("foods", &twin),
        insert("foods", &jam),
        update("foods", &jam["id"], json!({"made_of": toast["id"]})),
    ];
    assert_eq!(push(changes).await, ["applied", "rejected", "applied", "applied"]);
    // Parents before children that go.
    assert_eq!(push([&dough, &crust, &pie].map(|row| delete("foods", &row["id"])).to_vec()).await, ["applied"; 3]);
    assert_eq!(app.sql("SELECT string_agg(name_en, ' ' ORDER BY name_en) FROM foods"), "jam toast");
}
