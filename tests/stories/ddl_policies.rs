//! Changes of an application's policies while the daemon serves bind devices as they bind the application's own people,
//! without a restart; and nobody sees more because policies are dropped.

use std::time::{Duration, Instant};

use ryzed_tests::postgres::Cluster;
use ryzed_tests::{Account, Application, Daemon, insert};
use serde_json::json;
use uuid::Uuid;

/// The time that the daemon may take to notice something by itself.
const SOON: Duration = Duration::from_secs(20);

/// Row level security is on, and nobody is let in but the owner of the table.
const TABLES: &str = "CREATE ROLE authenticated NOLOGIN; CREATE ROLE people NOLOGIN; GRANT people TO authenticated;
    CREATE TABLE users (id uuid PRIMARY KEY, name text); INSERT INTO users VALUES (md5('user 1')::uuid, 'One');
    CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid, name_en text NOT NULL);
    ALTER TABLE foods ENABLE ROW LEVEL SECURITY; GRANT SELECT, INSERT, UPDATE, DELETE ON foods TO authenticated;
    INSERT INTO foods SELECT md5('food ' || i)::uuid, md5('user 1')::uuid, 'Food ' || i FROM generate_series(1, 9) i";

/// An application on a server of its own: which roles there are, and who belongs to them, is the whole server's.
struct Scene {
    _cluster: Cluster,
    app: Application,
    daemon: Daemon,
    me: Account,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::start();
        let app = Application::made_by(cluster.new_database(), TABLES, "");
        let _ = app.ryzed(&["adopt"]).ok();
        let daemon = app.daemon().start();
        let me = app.account(&daemon, 1);
        Self { _cluster: cluster, app, daemon, me }
    }

    /// Waits until a new device gets so many rows, and `/readyz` says this.
    async fn until(&self, rows: usize, said: &str) {
        let began = Instant::now();
        loop {
            let seen =
                self.me.sync(json!({"device_id": "anew"})).await["changes"]["foods"].as_array().map_or(0, Vec::len);
            let ready = self.me.api.get("//readyz").await.text();
            if (seen, ready.lines().last()) == (rows, Some(said)) {
                return;
            }
            assert!(began.elapsed() < SOON, "{rows} rows and {said} do not come, but {seen} and {ready}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_policy_that_is_put_up_while_it_serves_binds() {
    let scene = Scene::new();
    scene.until(9, "ready").await;
    let joined = "SELECT pg_has_role('ryzed_daemon', 'authenticated', 'USAGE')";
    assert_eq!(scene.app.sql(joined), "f", "no policy was for that role");
    scene.app.sql(
        "CREATE POLICY \"All but the first\" ON foods TO authenticated USING (user_id = auth.uid() AND name_en <> 'Food 1')",
    );
    scene.until(8, "ready").await;
    assert_eq!(scene.app.sql(joined), "t");
    let refused = insert("foods", &json!({"id": Uuid::new_v4(), "user_id": scene.me.user(), "name_en": "Food 1"}));
    assert_eq!(scene.me.refusal(refused).await, "constraint");
    scene.me.store("foods", &json!({"id": Uuid::new_v4(), "user_id": scene.me.user(), "name_en": "Quince"})).await;

    // For everybody, and for a role that people belong to; those that narrow.
    scene.app.sql("CREATE POLICY \"Not the second\" ON foods AS RESTRICTIVE USING (name_en <> 'Food 2')");
    scene.until(8, "ready").await;
    scene.app.sql("CREATE POLICY \"Not the third\" ON foods AS RESTRICTIVE TO people USING (name_en <> 'Food 3')");
    scene.until(7, "ready").await;
    scene.app.sql("ALTER POLICY \"All but the first\" ON foods TO people USING (name_en <> 'Quince')");
    scene.until(7, "ready").await;
    assert!(scene.me.rows("foods").await.iter().all(|row| row["name_en"] != "Quince"));
    // A start finds the same.
    let mut scene = scene;
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    scene.daemon.restart();
    scene.until(7, "ready").await;
}

#[tokio::test]
async fn a_policy_that_only_narrows_people_binds_where_everybody_is_let_in() {
    let scene = Scene::new();
    scene.app.sql("CREATE POLICY \"Own\" ON foods USING (user_id = auth.uid())");
    scene
        .app
        .sql("CREATE POLICY \"Not the third\" ON foods AS RESTRICTIVE TO authenticated USING (name_en <> 'Food 3')");
    scene.until(8, "ready").await;
}

#[tokio::test]
async fn who_takes_policies_away_shows_nobody_more() {
    let mut scene = Scene::new();
    let policy = "CREATE POLICY \"All but the first\" ON foods TO authenticated USING (user_id = auth.uid() AND name_en <> 'Food 1')";
    scene.app.sql(policy);
    scene.until(8, "ready").await;
    // As a migration does it that is not in one transaction.
    scene.app.sql("DROP POLICY \"All but the first\" ON foods");
    let stopped = "stopped: foods; the log says why";
    scene.until(0, stopped).await;
    scene.app.sql(policy);
    scene.until(8, "ready").await;
    scene.app.sql("REVOKE authenticated FROM ryzed_daemon");
    scene.until(0, stopped).await;
    scene.app.sql("GRANT authenticated TO ryzed_daemon");
    scene.until(8, "ready").await;
    scene.app.sql("ALTER TABLE foods DISABLE ROW LEVEL SECURITY");
    scene.until(0, stopped).await;
    scene.app.sql("ALTER TABLE foods ENABLE ROW LEVEL SECURITY");
    scene.until(8, "ready").await;
    // A new start does not forget whom the policies let in; adopting again asks what there is.
    scene.app.sql("DROP POLICY \"All but the first\" ON foods");
    scene.until(0, stopped).await;
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    scene.daemon.restart();
    scene.until(0, stopped).await;
    scene.daemon.logged(&["no policy of the application lets people in any more"]).await;
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    let report = scene.app.ryzed(&["adopt"]).ok();
    assert!(!report.contains("what the application's policies say"), "{report}");
    scene.daemon.restart();
    scene.until(9, "ready").await;
}

#[tokio::test]
async fn a_database_where_policies_fail_instead_of_filtering_is_served() {
    let mut scene = Scene::new();
    scene.app.sql("CREATE POLICY \"Own\" ON foods USING (user_id = auth.uid())");
    scene.app.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET row_security = off', current_database()); END $$");
    scene.daemon.terminate();
    assert_eq!(scene.daemon.exit_code().await, 0);
    scene.daemon.restart();
    scene.until(9, "ready").await;
    scene.me.store("foods", &json!({"id": Uuid::new_v4(), "user_id": scene.me.user(), "name_en": "Quince"})).await;
}
