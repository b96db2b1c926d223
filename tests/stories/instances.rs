//! Two daemons on one PostgreSQL behave as one: what happens at one shows at the other.
//! Told when the stories run on PostgreSQL, since a SQLite database has one daemon.

use std::sync::LazyLock;

use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{insert, postgres};
use serde_json::json;

static BOTH: LazyLock<Instances> = LazyLock::new(|| Instances::with_redis(|builder| builder));

/// Two daemons with a Redis between them; none when the stories run on another database.
fn both() -> Option<&'static Instances> {
    postgres::is_wanted().then(|| &*BOTH)
}

#[tokio::test]
async fn a_change_at_one_reaches_devices_at_the_other() {
    let Some(both) = both() else { return };
    let (here, there) = both.account();
    let mut tablet = there.socket("tablet").await;
    let mut last = 0;
    for quantity in 1..=20 {
        here.push([insert("food_entries", &food_entry(json!({"quantity": quantity})))]).await;
        let message = tablet.next("data_updated").await;
        assert_eq!((&message["data"]["quantity"], &message["source_device"]), (&json!(quantity), &json!("phone")));
        assert!(message["version"].as_i64() > Some(last));
        last = message["version"].as_i64().expect("a version");
    }
}
