//! The presence actor of several daemons, failing and hanging. On SQLite there is one daemon, and no such actor.

use ryzed_tests::supervision::{Scene, breakable};

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_the_presence_is_replaced_and_nobody_notices() {
    Scene::at(breakable().on_postgres().start()).await.nobody_notices("presence", false).await;
}
