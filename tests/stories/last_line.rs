//! The daemon forgets to look whose a row is, in a build that is broken so: PostgreSQL still refuses.

use ryzed_tests::daemon::{binary, binary_with_faults};
use ryzed_tests::rows::{food_entry, workout_exercise, workout_session};
use ryzed_tests::{Account, Daemon, Person, Ran, delete, insert, update, upsert};
use serde_json::{Value, json};

/// A daemon with a fault, and two people: the first is to be harmed by the second.
async fn broken(fault: impl FnOnce(&Person) -> String) -> (Daemon, Account, Account) {
    let (owner, thief) = (Person::new(), Person::new());
    let daemon = Daemon::builder().with_faults().on_postgres().env("RYZED_FAULTS", fault(&owner)).start();
    let (owner, thief) = (daemon.account_of(owner), daemon.account_of(thief));
    owner.push([]).await;
    thief.push([]).await;
    (daemon, owner, thief)
}

/// Everything that the database holds of a person, as one text.
fn everything_of(daemon: &Daemon, owner: &Account) -> String {
    let id = owner.person.id;
    let rows = |table: &str, whose: String| {
        daemon
            .database()
            .run(&format!("SELECT coalesce(json_agg(t ORDER BY t::text), '[]') FROM {table} t WHERE {whose}"))
    };
    [
        rows("public.food_entries", format!("user_id = '{id}'")),
        rows("public.workout_sessions", format!("user_id = '{id}'")),
        rows(
            "public.workout_exercises",
            format!("session_id IN (SELECT id FROM workout_sessions WHERE user_id = '{id}')"),
        ),
        rows("ryzed.changes", format!("scope = 'user:{id}'")),
        rows("ryzed.scopes", format!("scope = 'user:{id}'")),
        rows("ryzed.receipts", format!("user_id = '{id}'")),
        rows("ryzed.conflicts", format!("user_id = '{id}'")),
    ]
    .join("\n")
}

#[tokio::test]
async fn without_the_daemons_own_check_no_foreign_row_is_written() {
    let (daemon, owner, thief) = broken(|_| "no_scope_check".into()).await;
    let (entry, session) = (food_entry(json!({"quantity": 7})), workout_session(json!({})));
    let version = owner.store("food_entries", &entry).await;
    owner.store("workout_sessions", &session).await;
    owner.store("workout_exercises", &workout_exercise(&session)).await;
    let own = food_entry(json!({}));
    let own_version = thief.store("food_entries", &own).await;
    let before = everything_of(&daemon, &owner);

    let planted = food_entry(json!({"user_id": owner.user()}));
    let fields = json!({"quantity": 8});
    for change in [
        insert("food_entries", &planted),
        upsert("food_entries", &planted),
        insert("food_entries", &entry).strategy("client_wins"),
        upsert("food_entries", &entry).strategy("client_wins"),
        update("food_entries", &entry["id"], fields.clone()).base(&version).strategy("client_wins"),
        insert("workout_exercises", &workout_exercise(&session)),
        update("food_entries", &own["id"], json!({"user_id": owner.user()})).base(&own_version),
        insert("foods", &ryzed_tests::rows::food(json!({"user_id": null}))),
    ] {
        let what = change.json();
        let answer = thief.push([change]).await;
        let result = &answer["results"][0];
        assert_eq!(
            (&result["status"], &result["errors"][0]["code"]),
            (&json!("rejected"), &json!("forbidden")),
            "{what}: {answer}"
        );
        assert!(!answer.to_string().contains("policy"), "the database's words: {answer}");
        assert!(!answer["changes"].to_string().contains(&owner.person.id.to_string()), "{answer}");
    }
    // Nothing that the thief sees is there to be deleted.
    let theft = json!({"device_id": "phone", "changes": [delete("food_entries", &entry["id"]).base(&version).json()]});
    let _ = thief.api.post("/sync", &theft).await;
    assert_eq!(everything_of(&daemon, &owner), before);
    assert_eq!(
        daemon.database().run("SELECT count(*) FROM ryzed.changes WHERE scope = 'global' AND source_device = 'phone'"),
        "0"
    );
    assert_eq!(thief.row("food_entries", &own["id"]).await.expect("the thief's own row")["user_id"], thief.user());
    assert!(
        daemon.log().contains("row-level security rejected a write that the daemon had allowed"),
        "an operator has to hear of it"
    );

    // It is the fault that is refused, not the person.
    thief.store("food_entries", &food_entry(json!({}))).await;
    owner.store("food_entries", &food_entry(json!({}))).await;
}

#[tokio::test]
async fn without_the_daemons_own_check_a_refused_row_takes_no_other_along() {
    let (daemon, owner, thief) = broken(|_| "no_scope_check".into()).await;
    let before = everything_of(&daemon, &owner);
    let (own, planted) = (food_entry(json!({})), food_entry(json!({"user_id": owner.user()})));
    let answer = thief.push([insert("food_entries", &planted), insert("food_entries", &own)]).await;
    let statuses: Vec<&Value> = answer["results"].as_array().expect("results").iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, ["rejected", "applied"], "{answer}");
    assert_eq!(everything_of(&daemon, &owner), before);
}

#[tokio::test]
async fn a_pull_of_another_persons_scope_brings_nothing() {
    let (daemon, owner, thief) = broken(|owner| format!("pull_of={}", owner.id)).await;
    let entry = food_entry(json!({}));
    owner.store("food_entries", &entry).await;
    let session = workout_session(json!({}));
    owner.store("workout_sessions", &session).await;
    owner.store("workout_exercises", &workout_exercise(&session)).await;
    let before = everything_of(&daemon, &owner);

    let (id, row) = (owner.person.id.to_string(), entry["id"].as_str().expect("an id"));
    for path in ["/changes", "/digest"] {
        let stolen = thief.api.get(path).await.ok().to_string();
        assert!(!stolen.contains(&id) && !stolen.contains(row), "{path}: {stolen}");
    }
    let stolen = thief.pull(json!({"digest": true})).await;
    assert!(!stolen.to_string().contains(&id) && !stolen.to_string().contains(row), "{stolen}");
    assert_eq!(stolen["cursor"]["user"], 0, "not even how far the scope is: {stolen}");
    let digest = thief.api.get("/digest").await.ok();
    assert_eq!(digest["digest"]["food_entries"]["rows"], 0, "{digest}");
    // The same question with the owner's claims is answered: the fault is there.
    assert!(owner.pull(json!({})).await.to_string().contains(row));
    assert!(thief.rows("users").await.is_empty(), "the thief asks for another's scope, and so does not see their own");
    assert_eq!(everything_of(&daemon, &owner), before);
}

#[test]
fn only_the_build_for_stories_has_faults_and_it_knows_which() {
    let run = |binary: std::path::PathBuf, faults: &str| {
        let mut command = std::process::Command::new(binary);
        Ran::of(command.arg("tables").env_clear().env("RYZED_FAULTS", faults).env("RYZED_LOG__LEVEL", "warn"))
    };
    let person = Person::new().id;
    run(binary_with_faults(), &format!("no_scope_check, pull_of={person}")).ok();
    for unknown in ["no_such", "pull_of=me", "pull_of"] {
        let ran = run(binary_with_faults(), unknown);
        assert!(ran.code == 2 && ran.stderr.contains(unknown), "{}", ran.said());
    }
    let ran = run(binary(), "no_scope_check");
    assert!(ran.code == 0 && ran.stderr.contains("RYZED_FAULTS sets no key"), "{}", ran.said());
}
