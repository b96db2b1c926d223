//! A person reads and writes their own rows and reads the catalogue; nothing else.

use ryzed_tests::rows::{exercise_set, food, food_entry, workout_exercise, workout_session};
use ryzed_tests::{Person, delete, insert, update, upsert};
use serde_json::{Value, json};

use crate::{keepers, shared, somebody};

#[tokio::test]
async fn nobody_reads_anothers_rows() {
    let (me, other) = (somebody(), somebody());
    other.store("food_entries", &food_entry(json!({}))).await;
    other.store("foods", &food(json!({}))).await;
    let mine = me.pull(json!({})).await;
    assert!(!mine.to_string().contains(&other.person.id.to_string()));
}

#[tokio::test]
async fn another_persons_user_id_is_forbidden() {
    let (me, other) = (somebody(), somebody());
    other.push([]).await;
    let entry = food_entry(json!({"user_id": other.user()}));
    for change in [insert("food_entries", &entry), upsert("food_entries", &entry)] {
        assert_eq!(me.refusal(change).await, "forbidden");
    }
    let own = food_entry(json!({"user_id": me.user()}));
    let version = me.store("food_entries", &own).await;
    let gift = update("food_entries", &own["id"], json!({"user_id": other.user()})).base(&version);
    assert_eq!(me.refusal(gift).await, "forbidden");
}

#[tokio::test]
async fn another_persons_row_id_is_forbidden_and_nothing_tells_whose_it_is() {
    let (me, other) = (somebody(), somebody());
    let theirs = food_entry(json!({"quantity": 7}));
    let version = other.store("food_entries", &theirs).await;
    let fields = json!({"quantity": 8});
    for change in [
        insert("food_entries", &theirs),
        upsert("food_entries", &theirs),
        update("food_entries", &theirs["id"], fields.clone()).base(&version),
        update("food_entries", &theirs["id"], fields).base(&version).strategy("client_wins"),
        delete("food_entries", &theirs["id"]).base(&version),
    ] {
        let answer = me.push([change]).await;
        assert_eq!(answer["results"][0]["status"], "rejected", "{answer}");
        assert_eq!(answer["results"][0]["errors"][0]["code"], "forbidden", "{answer}");
        assert_eq!(answer["conflicts"], json!([]), "{answer}");
        assert!(!answer.to_string().contains(&other.person.id.to_string()), "{answer}");
    }
    assert_eq!(other.row("food_entries", &theirs["id"]).await.expect("a row")["quantity"], 7);
}

#[tokio::test]
async fn another_persons_deleted_row_is_forbidden_too() {
    let (me, other) = (somebody(), somebody());
    let theirs = food_entry(json!({}));
    let version = other.store("food_entries", &theirs).await;
    other.apply(delete("food_entries", &theirs["id"]).base(&version)).await;
    let answer = me.push([update("food_entries", &theirs["id"], json!({"quantity": 2})).strategy("client_wins")]).await;
    assert_eq!(answer["results"][0]["status"], "rejected", "{answer}");
    assert_eq!(me.row("food_entries", &theirs["id"]).await, None);
}

#[tokio::test]
async fn another_persons_row_is_no_parent() {
    let (me, other) = (somebody(), somebody());
    let session = workout_session(json!({}));
    let exercise = workout_exercise(&session);
    other.push([insert("workout_sessions", &session), insert("workout_exercises", &exercise)]).await;
    assert_eq!(me.refusal(insert("workout_exercises", &workout_exercise(&session))).await, "forbidden");
    assert_eq!(me.refusal(insert("exercise_sets", &exercise_set(&exercise))).await, "forbidden");

    let own = workout_session(json!({}));
    let moved = workout_exercise(&own);
    me.push([insert("workout_sessions", &own), insert("workout_exercises", &moved)]).await;
    let change =
        update("workout_exercises", &moved["id"], json!({"session_id": session["id"]})).strategy("client_wins");
    assert_eq!(me.refusal(change).await, "forbidden");
    let answer = other.rows("workout_exercises").await;
    assert_eq!(answer.len(), 1, "{answer:?}");
}

#[tokio::test]
async fn another_persons_private_food_can_not_be_eaten() {
    let (me, other) = (somebody(), somebody());
    let theirs = food(json!({}));
    other.store("foods", &theirs).await;
    let code = me.refusal(insert("food_entries", &food_entry(json!({"food_id": theirs["id"]})))).await;
    assert!(["forbidden", "invalid_reference"].contains(&code.as_str()), "{code}");
}

#[tokio::test]
async fn the_catalogue_may_be_referred_to_but_not_written() {
    let me = somebody();
    let foods = me.rows("foods").await;
    let apple = foods.iter().find(|food| food["user_id"] == Value::Null).expect("the starter catalogue");
    me.store("food_entries", &food_entry(json!({"food_id": apple["id"]}))).await;
    for change in [
        update("foods", &apple["id"], json!({"calories": 1})).base(&apple["_version"]),
        delete("foods", &apple["id"]).base(&apple["_version"]),
        upsert("foods", &json!({"id": apple["id"], "name_en": "Mine", "name_fr": "Le mien", "calories": 2})),
        insert("foods", &food(json!({"user_id": null}))),
    ] {
        assert_eq!(me.refusal(change).await, "forbidden");
    }
}

#[tokio::test]
async fn admins_and_services_write_the_catalogue_and_everybody_gets_it() {
    let me = keepers().account();
    let before = me.cursor().await;
    for person in [Person::admin(), Person::service()] {
        let keeper = keepers().account_of(person);
        let new = food(json!({"user_id": null, "name_en": "Rowan berry"}));
        let version = keeper.store("foods", &new).await;
        keeper.apply(update("foods", &new["id"], json!({"calories": 60})).base(&version)).await;
        let row = me.row("foods", &new["id"]).await.expect("the catalogue's new row");
        assert_eq!((&row["calories"], &row["user_id"]), (&json!(60), &Value::Null));
        keeper.apply(delete("foods", &new["id"]).base(&row["_version"])).await;
        let news = me.pull(json!({"cursor": before, "tables": ["foods"]})).await;
        assert!(news["deletions"]["foods"].to_string().contains(new["id"].as_str().expect("an id")), "{news}");
    }
}

#[tokio::test]
async fn an_admins_row_without_a_user_id_is_their_own() {
    let keeper = shared().account_of(Person::admin());
    let own = food(json!({}));
    keeper.store("foods", &own).await;
    assert_eq!(keeper.row("foods", &own["id"]).await.expect("a row")["user_id"], keeper.user());
    assert_eq!(somebody().row("foods", &own["id"]).await, None);
}

#[tokio::test]
async fn an_admin_does_not_reach_into_other_peoples_rows() {
    let (keeper, other) = (shared().account_of(Person::admin()), somebody());
    let theirs = food_entry(json!({}));
    let version = other.store("food_entries", &theirs).await;
    let change = update("food_entries", &theirs["id"], json!({"quantity": 3})).base(&version);
    assert_eq!(keeper.refusal(change).await, "forbidden");
    assert_eq!(keeper.row("food_entries", &theirs["id"]).await, None);
}

#[tokio::test]
async fn nobody_becomes_somebody_else() {
    let (me, other) = (somebody(), somebody());
    other.push([]).await;
    let change = update("users", &other.user(), json!({"name": "Impostor"})).strategy("client_wins");
    assert_eq!(me.refusal(change).await, "forbidden");
    let made_up = json!({"id": uuid::Uuid::new_v4(), "name": "Nobody"});
    assert_eq!(me.refusal(insert("users", &made_up)).await, "forbidden");
}
