//! A refusal by an application's own rules costs the refused row and no other, and the log never quotes it.

use ryzed_tests::{Account, Application, Change, Daemon, delete, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// Rules as applications have them. What they say quotes what a row holds.
const RULES: &str = "
    CREATE FUNCTION app.judge() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.barcode LIKE 'raise%' THEN
            RAISE EXCEPTION 'no food like %', NEW.barcode;
        ELSIF NEW.barcode LIKE 'check%' THEN
            RAISE check_violation USING MESSAGE = 'check constraint: no ' || NEW.barcode;
        ELSIF NEW.barcode LIKE 'cast%' THEN
            NEW.stock := NEW.barcode::integer;
        ELSIF NEW.barcode LIKE 'skip%' THEN
            RETURN NULL;
        ELSIF NEW.barcode LIKE 'audit%' THEN
            INSERT INTO app.audit VALUES (NEW.barcode);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER judge BEFORE INSERT OR UPDATE ON public.foods FOR EACH ROW EXECUTE FUNCTION app.judge();
    CREATE TABLE app.audit (what text);
    CREATE TABLE app.orders (food uuid REFERENCES public.foods);
    GRANT SELECT ON app.orders TO PUBLIC;
    CREATE FUNCTION app.keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.barcode LIKE 'keep%' THEN
            RETURN NULL;
        END IF;
        RETURN OLD;
    END $$;
    CREATE TRIGGER keep BEFORE DELETE ON public.foods FOR EACH ROW EXECUTE FUNCTION app.keep();
    CREATE TABLE app.brands (id uuid PRIMARY KEY);
    ALTER TABLE public.foods ADD brand uuid REFERENCES app.brands DEFERRABLE INITIALLY DEFERRED";

fn ruled(more: &str) -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(&format!("{RULES};{more}"));
    let brands = "[tables.foods]\nreferences = { brand = \"any\" }\n";
    app.configure(&app.configuration().replace("[tables.foods]\n", brands));
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().env("RYZED_LOG__LEVEL", "ryzed=debug").start();
    (app, daemon)
}

fn food(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57});
    row.as_object_mut().expect("a row").extend(with.as_object().expect("fields").clone());
    row
}

/// One refused change among others that apply, and once more with the same mutations.
async fn assert_refused_alone(me: &Account, refused: Change, what: &str) {
    let (before, after) = (food(json!({})), food(json!({})));
    let changes = [insert("foods", &before), refused, insert("foods", &after)];
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": changes.each_ref().map(Change::json)});
    for time in ["first", "again"] {
        let answer = me.api.post("/sync", &body).await.ok();
        let results = answer["results"].as_array().expect("results");
        let statuses: Vec<&Value> = results.iter().map(|result| &result["status"]).collect();
        assert_eq!(statuses, ["applied", "rejected", "applied"], "{what}, {time}: {answer}");
        assert_eq!(results[1]["errors"][0]["code"], "constraint", "{what}, {time}: {answer}");
        assert!(!answer.to_string().contains("hush"), "{what}: the database's words left the house: {answer}");
    }
    for row in [before, after] {
        assert!(me.row("foods", &row["id"]).await.is_some(), "{what}: a row of the others is missing");
    }
}

#[tokio::test]
async fn a_row_that_the_application_refuses_is_rejected_alone() {
    let (app, daemon) = ruled("");
    let me = app.account(&daemon, 1);
    for rule in ["raise", "check", "cast", "skip", "audit"] {
        let row = food(json!({"barcode": format!("{rule} hush")}));
        assert_refused_alone(&me, insert("foods", &row), rule).await;
        assert!(me.row("foods", &row["id"]).await.is_none(), "{rule}");
        let row = food(json!({}));
        let version = me.store("foods", &row).await;
        let change = update("foods", &row["id"], json!({"barcode": format!("{rule} hush")})).base(&version);
        assert_refused_alone(&me, change, rule).await;
        assert_eq!(me.row("foods", &row["id"]).await.expect("the row")["barcode"], Value::Null, "{rule}");
    }
    // Only the commit shows that there is no such brand.
    let row = food(json!({"brand": Uuid::new_v4()}));
    assert_refused_alone(&me, insert("foods", &row), "a deferred foreign key").await;
    let mut phone = me.socket("phone").await;
    phone.send(insert("foods", &food(json!({"barcode": "raise hush"}))).message()).await;
    assert_eq!(phone.next("change_result").await["status"], "rejected");
    assert!(!daemon.log().contains("hush"), "what a row holds is in the log:\n{}", daemon.log());
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[tokio::test]
async fn a_row_that_the_application_keeps_is_not_told_as_deleted() {
    let (app, daemon) = ruled("");
    let me = app.account(&daemon, 1);
    let (ordered, kept) = (food(json!({"barcode": "hush"})), food(json!({"barcode": "keep hush"})));
    for row in [&ordered, &kept] {
        me.store("foods", row).await;
    }
    app.sql(&format!("INSERT INTO app.orders SELECT '{}'::uuid", ordered["id"].as_str().expect("an id")));
    for (row, what) in [(&ordered, "a row that others refer to"), (&kept, "a row that a trigger keeps")] {
        assert_refused_alone(&me, delete("foods", &row["id"]), what).await;
        assert!(me.row("foods", &row["id"]).await.is_some(), "{what}");
    }
    // One of several in a statement.
    let other = food(json!({}));
    me.store("foods", &other).await;
    let results = me.push([delete("foods", &ordered["id"]), delete("foods", &other["id"])]).await["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("rejected"), &json!("applied")), "{results}");
    assert!(me.row("foods", &other["id"]).await.is_none());
    assert!(!daemon.log().contains("hush"), "what a row holds is in the log:\n{}", daemon.log());
}

#[tokio::test]
async fn what_the_database_says_of_a_failed_read_stays_out_of_the_log() {
    let loud = "CREATE FUNCTION app.loud(note text) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            IF note LIKE 'hush%' THEN
                RAISE EXCEPTION 'the note %', note;
            END IF;
            RETURN TRUE;
        END $$;
        CREATE POLICY loud ON public.food_entries AS RESTRICTIVE FOR SELECT USING (app.loud(note))";
    let (app, daemon) = ruled(loud);
    let me = app.account(&daemon, 1);
    let mut tablet = me.socket("tablet").await;
    app.sql("UPDATE food_entries SET note = 'hush' WHERE id = md5('entry 1')::uuid");
    assert_eq!(me.api.get("/changes?tables=food_entries").await.status, 500);
    tablet.send(json!({"type": "sync", "request_id": "r1", "tables": ["food_entries"]})).await;
    assert_eq!(tablet.next("error").await["code"], "internal");
    let log = daemon.log();
    assert!(log.contains("ERROR") && log.contains("the server's log has its words"), "{log}");
    assert!(!log.contains("hush"), "what a row holds is in the log:\n{log}");
}
