//! References of an application's tables: no device puts a row into somebody else's books, nor refers to what it can't see.

use ryzed_tests::{Account, Application, Change, Daemon, delete, flat, insert, postgres, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// Two tenants, each with a member who is a person; foods that may be in a tenant's books.
const TENANTS: &str = "
    CREATE TABLE organizations (id uuid PRIMARY KEY, name text);
    CREATE TABLE accounts (id uuid PRIMARY KEY, email text);
    CREATE TABLE members (organization_id uuid REFERENCES organizations, id uuid, account_id uuid REFERENCES accounts,
        PRIMARY KEY (organization_id, id));
    CREATE TABLE brands (code text PRIMARY KEY);
    CREATE TABLE recipes (id uuid PRIMARY KEY, user_id uuid REFERENCES accounts, name_en text);
    CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid REFERENCES accounts, name_en text NOT NULL, note text,
        organization_id uuid, member_id uuid, brand text REFERENCES brands, label text UNIQUE,
        made_of uuid REFERENCES foods DEFERRABLE INITIALLY DEFERRED, recipe uuid REFERENCES recipes,
        reviewer uuid REFERENCES accounts, updated_by uuid, subject_type text, subject_id uuid,
        FOREIGN KEY (organization_id, member_id) REFERENCES members, UNIQUE (organization_id, id));
    CREATE TABLE food_entries (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES accounts, food_id uuid REFERENCES foods ON DELETE SET NULL,
        quantity numeric NOT NULL, consumed_at timestamptz NOT NULL, organization_id uuid, side_dish uuid REFERENCES foods,
        food_label text REFERENCES foods (label),
        FOREIGN KEY (organization_id, side_dish) REFERENCES foods (organization_id, id));
    INSERT INTO organizations SELECT md5('organization ' || i)::uuid, 'O' || i FROM generate_series(1, 2) i;
    INSERT INTO accounts SELECT md5('user ' || i)::uuid, 'user' || i FROM generate_series(1, 2) i;
    INSERT INTO members SELECT md5('organization ' || i)::uuid, md5('member ' || i)::uuid, md5('user ' || i)::uuid FROM generate_series(1, 2) i;
    INSERT INTO brands VALUES ('ours');
    INSERT INTO recipes SELECT md5('recipe ' || i)::uuid, md5('user ' || i)::uuid, 'Pie' FROM generate_series(1, 2) i;
    INSERT INTO foods (id, user_id, name_en, organization_id, member_id, label) SELECT md5('food ' || i)::uuid, md5('user ' || i)::uuid, 'Fig',
        md5('organization ' || i)::uuid, md5('member ' || i)::uuid, 'label ' || i FROM generate_series(1, 2) i;
    INSERT INTO foods (id, user_id, name_en) VALUES (md5('food 3')::uuid, NULL, 'Of the catalogue')";

/// Uploads one change; its result. People have no table here that is synced.
async fn result_of(me: &Account, change: Change) -> Value {
    let body = json!({"tables": ["foods"], "changes": [change.json()]});
    me.sync(body).await["results"][0].clone()
}

async fn apply(me: &Account, change: Change) -> Value {
    let result = result_of(me, change).await;
    assert_eq!(result["status"], "applied", "{result}");
    result["version"].clone()
}

fn adopted(more: &str, configuration: &str) -> (Application, Daemon) {
    let app = Application::made_by(postgres::new_database(), &format!("{TENANTS};{more}"), configuration);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

fn food(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "name_en": "Quince"});
    row.as_object_mut().expect("a row").extend(with.as_object().expect("fields").clone());
    row
}

fn entry(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"});
    row.as_object_mut().expect("a row").extend(with.as_object().expect("fields").clone());
    row
}

async fn refused(me: &Account, change: Change) -> String {
    let result = result_of(me, change).await;
    assert_eq!(result["status"], "rejected", "{result}");
    format!(
        "{} {}",
        result["errors"][0]["field"].as_str().unwrap_or_default(),
        result["errors"][0]["code"].as_str().unwrap_or_default()
    )
}

#[tokio::test]
async fn no_row_is_put_into_another_tenants_books() {
    let (app, daemon) = adopted("", "");
    let me = app.account(&daemon, 1);
    let own = json!(app.id("food", 1));
    for number in [1, 2] {
        // One's own tenant as well: the application decides who is in whose books.
        for (column, value) in [
            ("organization_id", json!(app.id("organization", number))),
            ("member_id", json!(app.id("member", number))),
            ("brand", json!("ours")),
        ] {
            let row = food(json!({column: value}));
            assert_eq!(refused(&me, insert("foods", &row)).await, format!("{column} read_only"));
        }
    }
    // One that is there and one that is not get the same answer.
    for id in [json!(app.id("organization", 2)), json!(Uuid::new_v4())] {
        let change = update("foods", &own, json!({"organization_id": id})).strategy("client_wins");
        assert_eq!(refused(&me, change).await, "organization_id read_only");
    }
    assert_eq!(
        refused(&me, update("foods", &own, json!({"organization_id": null})).strategy("client_wins")).await,
        "organization_id read_only"
    );
    // An edit of another field of a row that has such references goes through.
    let mut row = me.row("foods", &own).await.expect("the food");
    assert_eq!(row["organization_id"], json!(app.id("organization", 1)));
    apply(&me, update("foods", &own, json!({"note": "sweet"})).base(&row["_version"])).await;
    row["note"] = json!("sour");
    let base = me.row("foods", &own).await.expect("the food")["_version"].clone();
    apply(&me, ryzed_tests::upsert("foods", &row).base(&base)).await;
    assert_eq!(
        app.sql("SELECT note, organization_id = md5('organization 1')::uuid, member_id = md5('member 1')::uuid FROM foods WHERE id = md5('food 1')::uuid"),
        "sour|t|t"
    );
    assert_eq!(app.sql("SELECT count(*) FROM foods WHERE name_en = 'Quince'"), "0");
}

#[tokio::test]
async fn nothing_refers_to_a_row_that_its_person_does_not_see() {
    let (app, daemon) = adopted("", "");
    let me = app.account(&daemon, 1);
    let (mine, theirs, everybodys) = (json!(app.id("food", 1)), json!(app.id("food", 2)), json!(app.id("food", 3)));
    // What is somebody else's and what is not there at all get the same answer.
    for wrong in [theirs.clone(), json!(Uuid::new_v4())] {
        assert_eq!(
            refused(&me, insert("food_entries", &entry(json!({"food_id": wrong})))).await,
            "food_id invalid_reference"
        );
        assert_eq!(
            refused(&me, insert("food_entries", &entry(json!({"side_dish": wrong})))).await,
            "side_dish invalid_reference"
        );
        assert_eq!(refused(&me, insert("foods", &food(json!({"made_of": wrong})))).await, "made_of invalid_reference");
    }
    // A table that comes later in the order is looked at as well.
    for wrong in [json!(app.id("recipe", 2)), json!(Uuid::new_v4())] {
        assert_eq!(refused(&me, insert("foods", &food(json!({"recipe": wrong})))).await, "recipe invalid_reference");
    }
    for right in [&mine, &everybodys] {
        apply(&me, insert("food_entries", &entry(json!({"food_id": right, "side_dish": right})))).await;
        apply(&me, insert("foods", &food(json!({"made_of": right, "recipe": app.id("recipe", 1)})))).await;
    }
    // Not by another key than the id, which nobody can look up, and not by a part of one.
    assert_eq!(
        refused(&me, insert("food_entries", &entry(json!({"food_label": "label 2"})))).await,
        "food_label read_only"
    );
    let organization = json!({"organization_id": app.id("organization", 1)});
    assert_eq!(refused(&me, insert("food_entries", &entry(organization))).await, "organization_id read_only");
    // In one upload a row may refer to one that comes with it.
    let (made, eaten) = (food(json!({})), Uuid::new_v4());
    let changes = [insert("food_entries", &entry(json!({"id": eaten, "food_id": made["id"]}))), insert("foods", &made)];
    let results =
        me.sync(json!({"tables": ["foods"], "changes": changes.map(|change| change.json())})).await["results"].clone();
    assert!(results.as_array().expect("results").iter().all(|result| result["status"] == "applied"), "{results}");
    assert_eq!(app.sql("SELECT count(*) FROM food_entries e JOIN foods f ON f.id IN (e.food_id, e.side_dish) WHERE f.user_id <> e.user_id"), "0");
}

#[tokio::test]
async fn a_reference_to_a_person_is_to_oneself() {
    let (app, daemon) = adopted("", "");
    let me = app.account(&daemon, 1);
    let other = json!(app.user(2));
    for column in ["reviewer", "updated_by"] {
        for wrong in [other.clone(), json!(Uuid::new_v4())] {
            assert_eq!(
                refused(&me, insert("foods", &food(json!({column: wrong})))).await,
                format!("{column} invalid_reference")
            );
        }
        apply(&me, insert("foods", &food(json!({column: me.user()})))).await;
    }
    // By type and id, which no foreign key holds.
    let wrong = food(json!({"subject_type": "account", "subject_id": other}));
    assert_eq!(refused(&me, insert("foods", &wrong)).await, "subject_id read_only");
    // Whom the application has named stays named.
    app.sql("UPDATE foods SET reviewer = md5('user 2')::uuid WHERE id = md5('food 1')::uuid");
    let id = json!(app.id("food", 1));
    let base = me.row("foods", &id).await.expect("the food")["_version"].clone();
    let version = apply(&me, update("foods", &id, json!({"note": "seen"})).base(&base)).await;
    apply(&me, delete("foods", &id).base(&version)).await;
    let back = update("foods", &id, json!({"note": "back"})).base(&version).strategy("client_wins");
    assert_eq!(result_of(&me, back).await["status"], "conflict");
    assert_eq!(app.sql("SELECT note, reviewer = md5('user 2')::uuid, organization_id = md5('organization 1')::uuid FROM foods WHERE id = md5('food 1')::uuid"), "back|t|t");
}

#[tokio::test]
async fn a_row_that_is_another_one_elsewhere_is_not_made_by_devices() {
    let items = "CREATE TABLE items (id uuid PRIMARY KEY, organization_id uuid); \
        INSERT INTO items SELECT md5('item ' || i)::uuid, md5('organization 2')::uuid FROM generate_series(1, 2) i; \
        CREATE TABLE exercises (id uuid PRIMARY KEY REFERENCES items, user_id uuid REFERENCES accounts, name_en text); \
        INSERT INTO exercises VALUES (md5('item 1')::uuid, md5('user 1')::uuid, 'Plank')";
    let (app, daemon) = adopted(items, "");
    let me = app.account(&daemon, 1);
    for id in [json!(app.id("item", 2)), json!(Uuid::new_v4())] {
        let row = json!({"id": id, "name_en": "Squat"});
        assert_eq!(refused(&me, insert("exercises", &row)).await, "id read_only");
    }
    let mine = json!(app.id("item", 1));
    let version = me.row("exercises", &mine).await.expect("the exercise")["_version"].clone();
    apply(&me, update("exercises", &mine, json!({"name_en": "Side plank"})).base(&version)).await;
    let report = app.ryzed(&["adopt", "--dry-run"]);
    assert!(report.said().contains("devices can't make rows: id must be given and is read-only"), "{}", report.said());
    drop(daemon);
    app.configure("[tables.exercises]\nreferences = { id = \"any\" }");
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    apply(&me, insert("exercises", &json!({"id": app.id("item", 2), "name_en": "Squat"}))).await;
}

#[tokio::test]
async fn a_row_that_a_policy_hides_is_not_there_to_refer_to() {
    let hides = "ALTER TABLE foods ENABLE ROW LEVEL SECURITY; CREATE POLICY shown ON foods USING (note IS DISTINCT FROM 'recalled')";
    let (app, daemon) = adopted(hides, "");
    let me = app.account(&daemon, 1);
    let (mine, everybodys) = (json!(app.id("food", 1)), json!(app.id("food", 3)));
    for id in [&mine, &everybodys] {
        apply(&me, insert("food_entries", &entry(json!({"food_id": id})))).await;
    }
    app.sql("UPDATE foods SET note = 'recalled'");
    for id in [&mine, &everybodys] {
        assert_eq!(
            refused(&me, insert("food_entries", &entry(json!({"food_id": id})))).await,
            "food_id invalid_reference"
        );
    }
}

#[tokio::test]
async fn the_configuration_lets_references_through() {
    let (app, daemon) = adopted(
        "",
        "[tables.foods]\nreferences = { organization_id = \"any\", member_id = \"any\", reviewer = \"any\" }",
    );
    let me = app.account(&daemon, 1);
    let row = food(
        json!({"organization_id": app.id("organization", 2), "member_id": app.id("member", 2), "reviewer": app.user(2)}),
    );
    apply(&me, insert("foods", &row)).await;
    assert_eq!(refused(&me, insert("foods", &food(json!({"brand": "ours"})))).await, "brand read_only");
}

#[test]
fn the_report_says_which_references_devices_may_not_set() {
    let made = format!(
        "{TENANTS}; CREATE TABLE gyms (id uuid PRIMARY KEY); CREATE TABLE exercises (id uuid PRIMARY KEY, user_id uuid, \
         name_en text, gym uuid NOT NULL REFERENCES gyms, rival_id uuid)"
    );
    let app = Application::made_by(postgres::new_database(), &made, "");
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    for line in [
        "readonly organization_id: refers to public.members, which is not synced; to change that: [tables.foods] references = { organization_id = \"any\" }",
        "readonly brand: refers to public.brands, which is not synced; to change that: [tables.foods] references = { brand = \"any\" }",
        "readonly food_label: refers to public.foods by another column than id; to change that: [tables.food_entries] references = { food_label = \"any\" }",
        "readonly subject_id: refers by type and id, which no foreign key holds; to change that: [tables.foods] references = { subject_id = \"any\" }",
        "reviewer names a person: devices may set it to their own alone; to change that: [tables.foods] references = { reviewer = \"any\" }",
        "devices can't make rows: gym must be given and is read-only",
        "rival_id may be a reference and is no foreign key: devices may set it to anything",
    ] {
        assert!(flat(&report).contains(line), "{line:?} is missing:\n{report}");
    }
    crate::adopt::assert_good(&app, &report);
    app.configure("[tables.foods]\nwrite = [\"brand\"]");
    let ran = app.ryzed(&["adopt"]);
    assert!(
        ran.code == 2
            && ran
                .said()
                .contains("tables.foods.write: brand refers to public.brands; say references = { brand = \"any\" }"),
        "{}",
        ran.said()
    );
}
