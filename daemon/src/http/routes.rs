//! Every route. What a route does is in the file that its handler names; how one is dispatched is in [`super::call`].

use std::sync::Arc;

use super::api::{assets, conflicts, devices, export, health, metrics, openapi, operator, people, sync, tables};
use super::endpoint::{Route, any, at, caller, delete, get, known, patch, post, unknown, user};
use super::{App, SocketFilter};

/// A path of the synced part.
macro_rules! api {
    ($path:literal) => {
        concat!("/api/realtime/", $path)
    };
}

/// The path of the WebSockets.
pub(super) const SOCKET: &str = api!("ws/{device_id}");

/// True if a path is a socket's.
pub(super) fn is_socket(path: &str) -> bool {
    path.starts_with(api!("ws/"))
}

/// All routes; `socket` takes [`SOCKET`].
pub(super) fn all(app: &Arc<App>, socket: SocketFilter) -> SocketFilter {
    let mut filters: Vec<_> = table().into_iter().map(|route| at(app, route)).collect();
    // Behind the one that is called most.
    filters.insert(1, socket);
    #[cfg(feature = "faults")]
    filters.push(at(
        app,
        Route { path: "/faults/{actor}", is_exact: false, endpoints: vec![post(super::api::faults::fault)] },
    ));
    filters.push(unknown());
    any(filters)
}

/// All routes but that of the sockets.
pub(super) fn table() -> Vec<Route> {
    let to = |path, endpoints| Route { path, is_exact: false, endpoints };
    let inside = |path, endpoints| Route { path, is_exact: true, endpoints };
    vec![
        to(api!("sync"), vec![post(caller(sync::sync)).reads(&[])]),
        to(
            api!("changes"),
            vec![get(user(sync::changes)).reads(&[
                "cursor",
                "last_sync_timestamp",
                "tables",
                "limit",
                "digest",
                "wait",
                "device_id",
                "device_type",
                "app_version",
            ])],
        ),
        to(api!("digest"), vec![get(user(sync::digest)).reads(&["tables"])]),
        to(api!("sync-status"), vec![get(user(sync::status)).reads(&["device_id"])]),
        to(api!("trigger-sync"), vec![post(user(sync::trigger)).reads(&[])]),
        to(api!("devices"), vec![get(user(devices::list)).reads(&[])]),
        to(
            api!("devices/{id}"),
            vec![patch(user(devices::change)).reads(&[]), delete(user(devices::revoke)).reads(&[])],
        ),
        to(api!("topics"), vec![get(known(tables::topics)).reads(&[])]),
        to(api!("tables"), vec![get(known(tables::list)).reads(&[])]),
        to(api!("tables/{table}/schema"), vec![get(known(tables::schema)).reads(&[])]),
        to(api!("conflicts"), vec![get(user(conflicts::list)).reads(&["after", "limit"])]),
        to(api!("conflicts/{id}/resolve"), vec![post(user(conflicts::resolve)).reads(&[])]),
        to(api!("export"), vec![get(user(export::everything)).reads(&[])]),
        to(api!("active-users"), vec![get(known(operator::active_users)).reads(&[])]),
        to(api!("test-broadcast"), vec![post(operator::test_broadcast).reads(&[])]),
        to(api!("health"), vec![get(health::health).reads(&[])]),
        inside("/livez", vec![get(health::alive)]),
        inside("/readyz", vec![get(health::ready)]),
        inside("/metrics", vec![get(metrics::metrics)]),
        to("/openapi.json", vec![get(openapi::openapi)]),
        to("/client.js", vec![get(assets::client)]),
        to("/client-online.js", vec![get(assets::client_online)]),
        to("/client-more.js", vec![get(assets::client_more)]),
        to("/client-query.js", vec![get(assets::client_query)]),
        to("/client-inspector.js", vec![get(assets::client_inspector)]),
        to("/client-lazy.js", vec![get(assets::client_lazy)]),
        to("/", vec![get(assets::root)]),
        to("/demo", vec![get(assets::page)]),
        to("/demo/people", vec![get(people::are_made).reads(&[]), post(people::make).reads(&[])]),
        to("/demo/{asset}", vec![get(assets::asset)]),
    ]
}
