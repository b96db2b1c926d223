//! Every route. What a route does is in the file that its handler names; how one is dispatched is in [`super::call`].

use std::sync::Arc;

use super::call::{Route, any, at, caller, delete, get, known, patch, post, unknown, user};
use super::{App, SocketFilter, assets, conflicts, devices, export, health, metrics, openapi, operator, sync, tables};

/// A path of the synced part.
macro_rules! api {
    ($path:literal) => {
        concat!("/api/realtime/", $path)
    };
}

/// Where the WebSockets are.
pub(super) const SOCKET: &str = api!("ws/{device_id}");

/// Whether a path is a socket's.
pub(super) fn is_socket(path: &str) -> bool {
    path.starts_with(api!("ws/"))
}

/// All routes; `socket` takes [`SOCKET`].
pub(super) fn all(app: &Arc<App>, socket: SocketFilter) -> SocketFilter {
    let mut filters: Vec<_> = table().into_iter().map(|route| at(app, route)).collect();
    // Behind the one that is called most.
    filters.insert(1, socket);
    #[cfg(feature = "faults")]
    filters
        .push(at(app, Route { path: "/faults/{actor}", is_exact: false, endpoints: vec![post(super::faults::fault)] }));
    filters.push(unknown());
    any(filters)
}

/// All routes but that of the sockets.
pub(super) fn table() -> Vec<Route> {
    let to = |path, endpoints| Route { path, is_exact: false, endpoints };
    let inside = |path, endpoints| Route { path, is_exact: true, endpoints };
    vec![
        to(api!("sync"), vec![post(caller(sync::sync))]),
        to(api!("changes"), vec![get(user(sync::changes))]),
        to(api!("digest"), vec![get(user(sync::digest))]),
        to(api!("sync-status"), vec![get(user(sync::status))]),
        to(api!("trigger-sync"), vec![post(user(sync::trigger))]),
        to(api!("devices"), vec![get(user(devices::list))]),
        to(api!("devices/{id}"), vec![patch(user(devices::change)), delete(user(devices::revoke))]),
        to(api!("topics"), vec![get(known(tables::topics))]),
        to(api!("tables"), vec![get(known(tables::list))]),
        to(api!("tables/{table}/schema"), vec![get(known(tables::schema))]),
        to(api!("conflicts"), vec![get(user(conflicts::list))]),
        to(api!("conflicts/{id}/resolve"), vec![post(user(conflicts::resolve))]),
        to(api!("export"), vec![get(user(export::everything))]),
        to(api!("active-users"), vec![get(known(operator::active_users))]),
        to(api!("test-broadcast"), vec![post(operator::test_broadcast)]),
        to(api!("health"), vec![get(health::health)]),
        inside("/livez", vec![get(health::alive)]),
        inside("/readyz", vec![get(health::ready)]),
        inside("/metrics", vec![get(metrics::metrics)]),
        to("/openapi.json", vec![get(openapi::openapi)]),
        to("/client.js", vec![get(assets::client)]),
        to("/client-online.js", vec![get(assets::client_online)]),
        to("/client-more.js", vec![get(assets::client_more)]),
        to("/client-query.js", vec![get(assets::client_query)]),
        to("/", vec![get(assets::root)]),
        to("/demo", vec![get(assets::page)]),
        to("/demo/{asset}", vec![get(assets::asset)]),
    ]
}
