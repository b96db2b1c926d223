//! The history of a database before it is moved, and the state that must be the same afterwards.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::rows::{exercise_set, food, food_entry, row, workout_exercise, workout_session};
use crate::{Account, Device, Person, delete, insert, update};

use super::{Place, digest, stop};

/// The time that the janitor may take after a start.
const SWEPT: Duration = Duration::from_secs(15);

/// A database with a history, and the state that people and devices remember of it.
#[derive(Debug)]
pub struct Lived {
    me: Person,
    away: Person,
    tablet: Device,
    cursors: [Value; 2],
    digests: [Value; 2],
    conflicts: Value,
    devices: Value,
    /// Tokens of devices that were revoked, one of which was allowed again.
    refused: [String; 2],
    /// A mutation and its result.
    done: (Value, Value),
    /// An entry at version `.1` whose quantity went from 1 to 2 afterwards.
    edited: (Value, Value),
    /// A template used 5 times at version `.1` and 8 times afterwards.
    counted: (Value, Value),
    /// A row that was deleted, at the version before.
    gone: (Value, Value),
    /// The same of the other person, and its tombstone is gone as well.
    pruned: (Value, Value),
}

/// Serves the database for a while.
pub async fn live(place: &Place) -> Lived {
    let mut daemon = place.serve();
    let (me, away) = (daemon.account(), daemon.account());
    let keeper = daemon.account_of(Person::admin());
    let (fig, plum) = (food(json!({"user_id": null})), food(json!({"user_id": null, "calories": 12.5})));
    keeper.push([insert("foods", &fig), insert("foods", &plum)]).await;
    keeper.push([update("foods", &plum["id"], json!({"name_en": "Plum \u{1f351} \"ripe\""}))]).await;
    keeper.push([delete("foods", &fig["id"])]).await;
    let pruned = food_entry(json!({}));
    let pruned_at = away.store("food_entries", &pruned).await;
    away.apply(delete("food_entries", &pruned["id"]).base(&pruned_at)).await;
    away.store("food_entries", &food_entry(json!({"quantity": 0.1}))).await;

    let session = workout_session(json!({"name": "Legs"}));
    let exercise = workout_exercise(&session);
    let recipe = row("recipes", json!({"ingredients": [{"quantity": 2.50, "name": "leek", "a": {"z": 1, "b": []}}]}));
    let tree = [
        insert("exercise_sets", &exercise_set(&exercise)),
        insert("workout_exercises", &exercise),
        insert("recipes", &recipe),
    ];
    let session_at = me.store("workout_sessions", &session).await;
    me.push(tree).await;
    let edited = food_entry(json!({"quantity": 1}));
    let edited_at = me.store("food_entries", &edited).await;
    me.apply(update("food_entries", &edited["id"], json!({"quantity": 2})).base(&edited_at)).await;
    let counted = row("workout_templates", json!({"usage_count": 5}));
    let counted_at = me.store("workout_templates", &counted).await;
    me.apply(update("workout_templates", &counted["id"], json!({"usage_count": 8})).base(&counted_at)).await;
    let gone = food_entry(json!({"meal_type": null, "consumed_at": "2026-01-05T12:00:00.123456Z"}));
    let gone_at = me.store("food_entries", &gone).await;
    me.apply(delete("food_entries", &gone["id"]).base(&gone_at)).await;
    me.push_from("other", [update("workout_sessions", &session["id"], json!({"name": "Arms"})).base(&session_at)])
        .await;
    let open = update("workout_sessions", &session["id"], json!({"name": "Back"})).base(&session_at).strategy("manual");
    assert!(me.push([open]).await["conflicts"][0]["conflict_id"].is_string());
    let (lost, renamed) = (me.token(), me.token());
    me.with_token(lost.clone()).sync(json!({"device_id": "lost"})).await;
    me.with_token(renamed.clone()).sync(json!({"device_id": "allowed-again"})).await;
    let keeper = me.with_token(me.token().issued_in(20));
    for device in ["lost", "allowed-again"] {
        keeper.api.delete(&format!("/devices/{device}")).await.done();
    }
    keeper.api.patch("/devices/allowed-again", &json!({"is_active": true})).await.done();

    daemon.database().age_tombstones(away.person.id);
    stop(&mut daemon).await;
    daemon.restart();
    let started = Instant::now();
    while daemon.database().tombstones(away.person.id) != "0" {
        assert!(started.elapsed() < SWEPT, "old tombstones are not swept away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = insert("food_entries", &food_entry(json!({"quantity": 33})));
    let result = me.change(done.clone()).await;
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    let lived = Lived {
        cursors: [me.cursor().await, away.cursor().await],
        digests: [digest(&me).await, digest(&away).await],
        conflicts: me.api.get("/conflicts").await.ok(),
        devices: devices(&me).await,
        refused: [lost.sign(), renamed.sign()],
        done: (done.json(), result),
        edited: (edited["id"].clone(), edited_at),
        counted: (counted["id"].clone(), counted_at),
        gone: (gone["id"].clone(), gone_at),
        pruned: (pruned["id"].clone(), pruned_at),
        me: me.person,
        away: away.person,
        tablet,
    };
    stop(&mut daemon).await;
    lived
}

/// Without what every call changes.
async fn devices(me: &Account) -> Value {
    let mut devices = me.api.get("/devices").await.ok();
    for device in devices.as_array_mut().expect("devices") {
        device.as_object_mut().expect("a device").remove("last_seen");
    }
    devices
}

impl Lived {
    /// Everything goes on at the new place as if nothing had happened.
    pub async fn goes_on(mut self, place: &Place) {
        let mut daemon = place.serve();
        let (me, away) = (daemon.account_of(self.me.clone()), daemon.account_of(self.away.clone()));
        assert_eq!([digest(&me).await, digest(&away).await], self.digests);
        assert_eq!(me.api.get("/conflicts").await.ok(), self.conflicts);
        assert_eq!(devices(&me).await, self.devices);
        for (account, cursor) in [(&me, &self.cursors[0]), (&away, &self.cursors[1])] {
            let news = account.sync(json!({"cursor": cursor})).await;
            assert_eq!((&news["reset"], &news["total_changes"]), (&json!(false), &json!(0)), "{news}");
        }
        me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);
        for refused in &self.refused {
            me.api.with_token(Some(refused.clone())).get("/changes").await.problem(&[401]);
        }
        let again = me.sync(json!({"changes": [self.done.0]})).await;
        assert_eq!(again["results"][0], self.done.1, "a repeated mutation gets its old result");
        self.edits_are_judged_as_before(&me, &away).await;

        // The tablet goes on with its copy, and so do the triggers.
        let mut tablet = me.device("tablet");
        (tablet.rows, tablet.cursor) = (std::mem::take(&mut self.tablet.rows), self.tablet.cursor.clone());
        let id = Uuid::new_v4();
        daemon.database().run(&format!(
            "INSERT INTO food_entries (id, user_id, quantity, consumed_at) \
             VALUES ('{id}', '{}', 7, '2026-05-01T08:00:00.000000Z')",
            self.me.id
        ));
        tablet.sync().await;
        assert_eq!(tablet.resets, 0);
        assert_eq!(tablet.row("food_entries", &json!(id)).expect("the row from outside")["quantity"], 7);
        assert!(tablet.is_complete().await.expect("a digest"));
        assert!(daemon.database().is_sound());
        stop(&mut daemon).await;
        daemon.restart();
        let me = daemon.account_of(self.me);
        assert_eq!(me.sync(json!({"cursor": tablet.cursor})).await["reset"], false, "the life outlasts the next start");
    }

    async fn edits_are_judged_as_before(&self, me: &Account, away: &Account) {
        let (id, base) = &self.pruned;
        assert_eq!(away.refusal(update("food_entries", id, json!({"quantity": 9})).base(base)).await, "stale");
        let (id, base) = &self.gone;
        let answer = me.push([update("food_entries", id, json!({"quantity": 9})).base(base)]).await;
        assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
        assert_eq!(me.row("food_entries", id).await, None, "a deleted row stays deleted");
        let (id, base) = &self.edited;
        let other_field = update("food_entries", id, json!({"unit": "ml"})).base(base);
        assert_eq!(me.change(other_field).await["status"], "merged");
        let answer = me.push([update("food_entries", id, json!({"quantity": 3})).base(base)]).await;
        let field = &answer["conflicts"][0]["fields"][0];
        assert_eq!((&field["base"], &field["server"], &field["client"]), (&json!(1), &json!(2), &json!(3)), "{answer}");
        let (id, base) = &self.counted;
        let used = update("workout_templates", id, json!({"usage_count": 6})).base(base).strategy("merge");
        me.push([used]).await;
        assert_eq!(me.row("workout_templates", id).await.expect("the row")["usage_count"], 9, "5 + 3 + 1");
    }
}
