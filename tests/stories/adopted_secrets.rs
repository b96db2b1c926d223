//! Columns of an application that no device may have, and those that no device may write: passwords stay home, rights are not
//! given to oneself, and the configuration alone decides otherwise.

use ryzed_tests::{Account, Application, Change, Daemon, Person, delete, flat, insert, postgres, update, upsert};
use serde_json::{Value, json};
use uuid::Uuid;

/// The text that no answer may hold, whatever it is an answer to. Every secret of the schemas below has it in its
/// value.
const HUSH: &str = "hush";

/// People as a PHP framework keeps them, with teams; foods with columns of every kind.
const PHP: &str = r#"
    CREATE TABLE teams (id uuid PRIMARY KEY, name text);
    CREATE TABLE users (id uuid PRIMARY KEY, name varchar(255), email varchar(255) UNIQUE, email_verified_at timestamptz,
        password varchar(255) NOT NULL, two_factor_secret text, two_factor_recovery_codes text, two_factor_confirmed_at timestamptz,
        remember_token varchar(100), current_team_id uuid REFERENCES teams, phone text, profile_photo_path text,
        created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
    CREATE TYPE dose AS (amount integer, unit text);
    CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid REFERENCES users ON DELETE CASCADE, name_en text NOT NULL,
        calories numeric NOT NULL, salt numeric, key_signature text, price_range text, note text,
        "apiKey" text DEFAULT 'hush default', "SECRET_SAUCE" text, sync_token text, pin_hash text, photo bytea, doses dose,
        shelf int4range, "isVerified" boolean DEFAULT FALSE, price_cents integer DEFAULT 5, plan text DEFAULT 'free',
        tenant_id text DEFAULT 'us', updated_at timestamptz DEFAULT now());
    INSERT INTO teams VALUES (md5('team 1')::uuid, 'One'), (md5('team 2')::uuid, 'Two');
    INSERT INTO users (id, name, email, password, two_factor_secret, two_factor_recovery_codes, remember_token, current_team_id, phone)
        SELECT md5('user ' || i)::uuid, 'User ' || i, 'user' || i || '@example.com', 'hush password ' || i, 'hush secret',
        'hush codes', 'hush token', md5('team ' || i)::uuid, 'hush phone' FROM generate_series(1, 2) i;
    INSERT INTO foods (id, user_id, name_en, calories, salt, note, "apiKey", "SECRET_SAUCE", sync_token, pin_hash, photo, doses)
        SELECT md5('food ' || i)::uuid, md5('user ' || i)::uuid, 'Fig', 74, 0.5, 'sweet', 'hush key', 'hush sauce', 'hush token', 'hush hash',
        'hush'::bytea, ROW(1, 'hush')::dose FROM generate_series(1, 2) i;
"#;

/// People as a functional framework keeps them, who may be admins; sessions with a status that somebody else gives.
const ECTO: &str = "
    CREATE TABLE users (id uuid PRIMARY KEY, name text, email citext NOT NULL, hashed_password text, confirmed_at timestamptz,
        admin boolean NOT NULL DEFAULT FALSE, role text NOT NULL DEFAULT 'member', inserted_at timestamptz DEFAULT now());
    CREATE TABLE workout_sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, name text NOT NULL,
        start_time timestamptz NOT NULL, approved_by_coach boolean NOT NULL DEFAULT FALSE, can_share boolean NOT NULL DEFAULT FALSE,
        mood integer, inserted_at timestamptz DEFAULT now());
    INSERT INTO users (id, name, email, hashed_password) SELECT md5('user ' || i)::uuid, 'User ' || i, 'user' || i || '@example.com',
        'hush hash' FROM generate_series(1, 2) i";

fn adopted(made: &str, configuration: &str) -> (Application, Daemon) {
    let app = Application::made_by(postgres::new_database(), made, configuration);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

fn ecto(configuration: &str) -> (Application, Daemon) {
    adopted(&format!("CREATE EXTENSION citext;{ECTO}"), configuration)
}

fn quince(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57});
    row.as_object_mut().expect("a row").extend(with.as_object().expect("fields").clone());
    row
}

async fn code(me: &Account, change: Change) -> String {
    let result = me.change(change).await;
    assert_eq!(result["status"], "rejected", "{result}");
    format!(
        "{} {}",
        result["errors"][0]["field"].as_str().unwrap_or_default(),
        result["errors"][0]["code"].as_str().unwrap_or_default()
    )
}

fn columns(row: &Value) -> Vec<&str> {
    row.as_object().expect("a row").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn what_is_secret_stays_home_whichever_way_it_is_asked_for() {
    let (app, daemon) = adopted(PHP, "");
    let me = app.account(&daemon, 1);
    let (user, food) = (json!(app.id("user", 1)), json!(app.id("food", 1)));
    let mut tablet = me.socket("tablet").await;
    let mut answers = vec![me.pull(json!({})).await];
    let row = me.row("users", &user).await.expect("oneself");
    assert_eq!(
        columns(&row),
        ["_version", "created_at", "email", "id", "name", "updated_at"],
        "of people, no more: {row}"
    );
    let row = me.row("foods", &food).await.expect("the food");
    let shown = [
        "_version",
        "calories",
        "id",
        "isVerified",
        "key_signature",
        "name_en",
        "note",
        "plan",
        "price_cents",
        "price_range",
        "salt",
        "tenant_id",
        "updated_at",
        "user_id",
    ];
    assert_eq!(columns(&row), shown, "{row}");
    answers.push(me.api.get("/tables").await.ok());
    for table in ["users", "foods"] {
        answers.push(me.api.get(&format!("/tables/{table}/schema")).await.ok());
    }
    let told = answers[1..].iter().map(Value::to_string).collect::<String>();
    for name in [
        "password",
        "two_factor",
        "remember_token",
        "current_team",
        "apiKey",
        "SECRET_SAUCE",
        "photo",
        "doses",
        "shelf",
    ] {
        assert!(!told.contains(name), "{name} is told of: {told}");
    }
    answers.push(json!(me.api.get("/export").await.text()));

    // SQL beside, a conflict, a deletion: former values leave the house as well.
    let base = row["_version"].clone();
    app.sql("UPDATE users SET password = 'hush new', name = 'Me' WHERE id = md5('user 1')::uuid");
    answers.push(tablet.next("database_change").await);
    app.sql("UPDATE foods SET \"apiKey\" = 'hush new', note = 'sour' WHERE id = md5('food 1')::uuid");
    answers.push(tablet.next("database_change").await);
    for strategy in ["manual", "merge", "client_wins"] {
        let met = me.push([update("foods", &food, json!({"note": strategy})).base(&base).strategy(strategy)]).await;
        assert_eq!(met["results"][0]["status"], "conflict", "{met}");
        answers.push(met);
    }
    answers.push(me.api.get("/conflicts").await.ok());
    app.sql("DELETE FROM foods WHERE id = md5('food 1')::uuid");
    answers.push(loop {
        let told = tablet.next("database_change").await;
        if told["operation"] == "DELETE" {
            break told;
        }
    });
    answers.push(me.push([update("foods", &food, json!({"note": "back"})).base(&base).strategy("client_wins")]).await);
    answers.push(me.pull(json!({})).await);
    for answer in &answers {
        assert!(!answer.to_string().contains(HUSH), "a secret has left the house: {answer}");
    }
    // What the database notes beside the rows does not hold it either.
    let noted = postgres::dump(&app.url, &["--data-only", "--schema=ryzed"]);
    assert!(noted.contains("sweet") && !noted.contains(HUSH), "a secret is kept twice:\n{noted}");
    assert!(!daemon.log().contains(HUSH), "a secret is in the log");
}

#[tokio::test]
async fn nobody_sets_what_stays_home_or_gives_themselves_rights() {
    let (app, daemon) = adopted(PHP, "");
    let me = app.account(&daemon, 1);
    let (user, food) = (json!(app.id("user", 1)), json!(app.id("food", 1)));
    let before = app.sql("SELECT * FROM users ORDER BY id");
    for (field, value, wanted) in [
        ("password", json!("mine"), "unknown_field"),
        ("two_factor_secret", json!("mine"), "unknown_field"),
        ("remember_token", json!("mine"), "unknown_field"),
        ("email_verified_at", json!("2026-01-01T00:00:00Z"), "unknown_field"),
        ("current_team_id", json!(app.id("team", 2)), "unknown_field"),
        ("phone", json!("1"), "unknown_field"),
        ("email", json!("victim@example.com"), "read_only"),
        ("created_at", json!("2020-01-01T00:00:00Z"), "read_only"),
    ] {
        for change in
            [update("users", &user, json!({field: value})), upsert("users", &json!({"id": user, field: value}))]
        {
            assert_eq!(code(&me, change.strategy("client_wins")).await, format!("{field} {wanted}"));
        }
    }
    assert_eq!(app.sql("SELECT * FROM users ORDER BY id"), before);
    for (field, value, wanted) in [
        ("apiKey", json!("mine"), "unknown_field"),
        ("SECRET_SAUCE", json!("mine"), "unknown_field"),
        ("photo", json!("\\x00"), "unknown_field"),
        ("isVerified", json!(true), "read_only"),
        ("price_cents", json!(0), "read_only"),
        ("plan", json!("gold"), "read_only"),
        ("tenant_id", json!("eu"), "read_only"),
    ] {
        for change in [
            update("foods", &food, json!({field: value})).strategy("client_wins"),
            insert("foods", &quince(json!({field: value}))),
        ] {
            assert_eq!(code(&me, change).await, format!("{field} {wanted}"));
        }
    }
    let mut phone = me.socket("phone").await;
    phone.send(update("users", &user, json!({"password": "mine"})).message()).await;
    assert_eq!(phone.next("change_result").await["errors"][0]["code"], "unknown_field");
    // What is nobody's secret is everybody's as ever, and what they leave out the database fills.
    let row = quince(json!({"salt": 1.5, "key_signature": "C", "price_range": "low"}));
    me.store("foods", &row).await;
    let id = row["id"].as_str().expect("an id");
    let stored =
        app.sql(&format!("SELECT \"apiKey\", \"isVerified\", price_cents, plan, salt FROM foods WHERE id = '{id}'"));
    assert_eq!(stored, "hush default|f|5|free|1.5");
    me.apply(
        update("users", &user, json!({"name": "Me"})).base(&me.row("users", &user).await.expect("oneself")["_version"]),
    )
    .await;
}

#[tokio::test]
async fn nobody_makes_themselves_an_admin() {
    let (app, daemon) = ecto("");
    let me = app.account(&daemon, 1);
    let user = json!(app.id("user", 1));
    for (field, value) in [
        ("admin", json!(true)),
        ("role", json!("admin")),
        ("hashed_password", json!("mine")),
        ("confirmed_at", json!("2026-01-01T00:00:00Z")),
    ] {
        assert_eq!(
            code(&me, update("users", &user, json!({field: value})).strategy("client_wins")).await,
            format!("{field} unknown_field")
        );
    }
    let session = json!({"id": Uuid::new_v4(), "name": "Legs", "start_time": "2026-01-05T18:00:00Z", "mood": 4});
    for right in ["approved_by_coach", "can_share"] {
        let mut row = session.clone();
        row[right] = json!(true);
        assert_eq!(code(&me, insert("workout_sessions", &row)).await, format!("{right} read_only"));
    }
    me.store("workout_sessions", &session).await;
    assert_eq!(app.sql("SELECT admin, role FROM users WHERE admin OR role <> 'member'"), "");
    assert_eq!(app.sql("SELECT approved_by_coach, can_share, mood FROM workout_sessions"), "f|f|4");
    assert!(!me.pull(json!({})).await.to_string().contains(HUSH));
}

#[tokio::test]
async fn a_value_that_is_merely_sent_back_is_no_wish() {
    let (app, daemon) = adopted(PHP, "");
    let me = app.account(&daemon, 1);
    let food = json!(app.id("food", 1));
    // An app that writes whole objects, with the fields that it may not write as it got them.
    let mut row = me.row("foods", &food).await.expect("the food");
    row["note"] = json!("edited");
    let base = row["_version"].clone();
    me.apply(upsert("foods", &row).base(&base)).await;
    assert_eq!(me.row("foods", &food).await.expect("the food")["note"], "edited");
    // Meanwhile the application has changed such a field: what the device saw is no wish either.
    let base = me.row("foods", &food).await.expect("the food")["_version"].clone();
    app.sql("UPDATE foods SET price_cents = 9 WHERE id = md5('food 1')::uuid");
    row["note"] = json!("edited again");
    let result = me.change(upsert("foods", &row).base(&base)).await;
    assert!(["applied", "merged"].contains(&result["status"].as_str().unwrap_or_default()), "{result}");
    assert_eq!(app.sql("SELECT note, price_cents FROM foods WHERE id = md5('food 1')::uuid"), "edited again|9");
    me.store("foods", &quince(json!({"price_cents": null, "isVerified": null}))).await;
    assert_eq!(app.sql("SELECT price_cents, \"isVerified\" FROM foods WHERE name_en = 'Quince'"), "5|f");
}

#[tokio::test]
async fn a_secret_that_changes_alone_tells_no_device() {
    let (app, daemon) = adopted(PHP, "");
    let me = app.account(&daemon, 1);
    let mut tablet = me.socket("tablet").await;
    let before = me.cursor().await;
    app.sql(
        "UPDATE users SET password = 'hush', remember_token = 'hush' WHERE id = md5('user 1')::uuid; \
             UPDATE foods SET \"apiKey\" = 'hush' WHERE user_id = md5('user 1')::uuid",
    );
    assert_eq!(me.cursor().await, before);
    app.sql("UPDATE foods SET note = 'told' WHERE id = md5('food 1')::uuid");
    assert_eq!(tablet.next("database_change").await["old_record"], json!({"id": app.id("food", 1), "note": "sweet"}));
    // A policy of the application may go by it, and then the device has to look.
    app.sql("ALTER TABLE foods ENABLE ROW LEVEL SECURITY");
    drop(daemon);
    app.sql("CREATE POLICY recalled ON foods USING (sync_token IS DISTINCT FROM 'recalled')");
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let cursor = me.cursor().await;
    app.sql("UPDATE foods SET sync_token = 'recalled' WHERE id = md5('food 1')::uuid");
    let news = me.pull(json!({"cursor": cursor})).await;
    assert_eq!(news["deletions"]["foods"][0]["id"], json!(app.id("food", 1)), "{news}");
}

const DECIDED: &str = "
    [tables.users]
    send = [\"phone\", \"profile_photo_path\"]
    write = [\"email\", \"profile_photo_path\"]
    [tables.foods]
    send = [\"sync_token\"]
    write = [\"sync_token\", \"plan\"]
    hidden = [\"note\", \"salt\"]
    read_only = [\"price_range\"]";

#[tokio::test]
async fn the_configuration_decides_otherwise() {
    let (app, daemon) = adopted(PHP, DECIDED);
    let me = app.account(&daemon, 1);
    let (user, food) = (json!(app.id("user", 1)), json!(app.id("food", 1)));
    let row = me.row("users", &user).await.expect("oneself");
    assert_eq!(row["phone"], "hush phone", "let out");
    let base = row["_version"].clone();
    assert_eq!(code(&me, update("users", &user, json!({"phone": "1"}))).await, "phone read_only", "and not in");
    me.apply(update("users", &user, json!({"email": "me@example.com", "profile_photo_path": "a.png"})).base(&base))
        .await;
    let row = me.row("foods", &food).await.expect("the food");
    assert_eq!((&row["sync_token"], row.get("note"), row.get("salt")), (&json!("hush token"), None, None), "{row}");
    me.apply(update("foods", &food, json!({"sync_token": "new", "plan": "gold"})).base(&row["_version"])).await;
    assert_eq!(code(&me, update("foods", &food, json!({"note": "mine"}))).await, "note unknown_field");
    assert_eq!(code(&me, update("foods", &food, json!({"price_range": "high"}))).await, "price_range read_only");
    let schema = me.api.get("/tables/foods/schema").await.ok();
    assert_eq!(
        (&schema["properties"]["price_range"]["readOnly"], schema["properties"].get("note")),
        (&json!(true), None)
    );
    assert_eq!(
        app.sql("SELECT sync_token, plan, note, salt FROM foods WHERE id = md5('food 1')::uuid"),
        "new|gold|sweet|0.5"
    );
}

#[test]
fn a_decision_that_makes_no_sense_is_refused_with_what_to_do() {
    let app = Application::made_by(postgres::new_database(), PHP, "");
    let refused = |configuration: &str, wanted: &str| {
        app.configure(configuration);
        let ran = app.ryzed(&["adopt"]);
        assert!(
            ran.code == 2 && ran.said().contains(wanted),
            "{configuration}: {wanted:?} is missing:\n{}",
            ran.said()
        );
    };
    for (list, wanted) in [
        ("hidden = [\"nope\"]", "tables.foods.hidden: there is no column nope"),
        ("send = [\"nope\"]", "tables.foods.send: there is no column nope"),
        ("write = [\"password\"]", "tables.foods.write: there is no column password"),
        ("hidden = [\"note\"]\nsend = [\"note\"]", "note can't be in hidden and in send"),
        ("hidden = [\"note\"]\nwrite = [\"note\"]", "note can't be in hidden and in write"),
        ("read_only = [\"note\"]\nwrite = [\"note\"]", "note can't be in read_only and in write"),
        ("hidden = [\"note\"]\nread_only = [\"note\"]", "note can't be in hidden and in read_only"),
        ("write = [\"apiKey\"]", "tables.foods.write: apiKey stays home; name it in send as well"),
        ("hidden = [\"user_id\"]", "tables.foods.hidden: user_id"),
        ("hidden = [\"id\"]", "tables.foods.hidden: id"),
        ("references = { note = \"any\" }", "tables.foods.references: note is no reference"),
        ("references = { note = \"all\" }", "ryzed.toml:2"),
    ] {
        refused(&format!("[tables.foods]\n{list}"), wanted);
    }
}

#[test]
fn the_report_lists_what_stays_home_and_what_is_read_only_and_how_to_change_it() {
    let app = Application::made_by(postgres::new_database(), PHP, "");
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    for line in [
        "home password: of people, only what the configuration lists travels; to change that: [tables.users] send = [\"password\"]",
        "home apiKey: a secret, by its name; to change that: [tables.foods] send = [\"apiKey\"]",
        "home doses: a type that is not known (public.dose); to change that: [tables.foods] send = [\"doses\"]",
        "readonly email: signs people in; to change that: [tables.users] write = [\"email\"]",
        "readonly isVerified: gives rights, by its name; to change that: [tables.foods] write = [\"isVerified\"]",
        "readonly tenant_id: says whose books a row is in, by its name; to change that: [tables.foods] write = [\"tenant_id\"]",
        "devices can't make rows: password must be given and stays home",
    ] {
        assert!(flat(&report).contains(line), "{line:?} is missing:\n{report}");
    }
    crate::adopt::assert_good(&app, &report);
    assert!(!report.contains("extra    apiKey") && report.contains("extra    note"), "{report}");
}

#[tokio::test]
async fn a_database_that_was_adopted_before_goes_on_under_the_rules() {
    let (app, mut daemon) = adopted(PHP, "[tables.foods]\nsend = [\"apiKey\"]\nwrite = [\"apiKey\"]");
    let me = app.account(&daemon, 1);
    let before = me.pull(json!({})).await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    // As the last release left it: nothing says which columns travel, and the notes hold former values of all of them.
    app.sql("DELETE FROM ryzed.kept");
    app.sql("UPDATE users SET password = 'hush again', name = 'Me'; UPDATE foods SET \"apiKey\" = 'hush again', note = 'sour'; \
             DELETE FROM foods WHERE id = md5('food 2')::uuid");
    assert!(postgres::dump(&app.url, &["--data-only", "--table=ryzed.changes"]).contains(HUSH));
    app.configure("");
    daemon.restart();
    let news = me.pull(json!({"cursor": before["cursor"]})).await;
    assert_eq!(news["changes"]["users"][0]["name"], "Me", "it goes on where it was: {news}");
    assert!(!news.to_string().contains(HUSH), "{news}");
    assert!(
        !postgres::dump(&app.url, &["--data-only", "--table=ryzed.changes"]).contains(HUSH),
        "former secrets are still noted"
    );
    let food = json!(app.id("food", 1));
    assert_eq!(
        code(&me, update("foods", &food, json!({"apiKey": "mine", "note": "mine"}))).await,
        "apiKey unknown_field"
    );
    // A start that was broken off while it erased is gone on with by the next.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    app.sql("INSERT INTO ryzed.meta VALUES ('scrub', 'yes'); \
             UPDATE ryzed.changes SET previous = previous || '{\"apiKey\": [[1, \"hush\"]]}' WHERE table_name = 'foods'");
    daemon.restart();
    assert!(!postgres::dump(&app.url, &["--data-only", "--table=ryzed.changes"]).contains(HUSH));
    // Let out again, rows have a field that devices do not know: they start over.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    app.configure("[tables.foods]\nsend = [\"apiKey\"]");
    daemon.restart();
    assert_ne!(me.cursor().await["epoch"], before["cursor"]["epoch"]);
    assert_eq!(me.row("foods", &food).await.expect("the food")["apiKey"], "hush again");
}

#[tokio::test]
async fn somebody_new_gets_a_row_with_the_address_of_their_token() {
    let people = "CREATE TABLE users (id uuid PRIMARY KEY, email text, password text); \
                  CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid REFERENCES users, name_en text)";
    let (app, daemon) = adopted(people, "");
    let me = daemon.account_of(Person::new().with_email("new@example.com"));
    me.store("foods", &json!({"id": Uuid::new_v4(), "name_en": "Fig"})).await;
    assert_eq!(app.sql("SELECT email FROM users"), "new@example.com");
    me.change(delete("foods", &me.rows("foods").await[0]["id"])).await;
    assert!(me.rows("foods").await.is_empty());
}
