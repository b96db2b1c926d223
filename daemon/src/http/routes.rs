//! Every route. What a route does is in the file that its handler names; how one is dispatched is in [`super::call`].

use std::sync::Arc;

use warp::path;

use super::call::{Path, any, at, delete, fixed, get, named, patch, post, unknown, user};
use super::{App, SocketFilter, assets, conflicts, devices, export, health, operator, sync, tables};

/// All routes; `socket` takes `/api/realtime/ws/{device_id}`.
pub(super) fn all(app: &Arc<App>, socket: SocketFilter) -> SocketFilter {
    macro_rules! api { ($($segments:tt)*) => { path!("api" / "realtime" / $($segments)*) } }
    let at = |path: Path, endpoints| at(app, path, endpoints);
    any(vec![
        at(fixed(api!("sync")), vec![post(user(sync::sync))]),
        socket,
        at(fixed(api!("changes")), vec![get(user(sync::changes))]),
        at(fixed(api!("digest")), vec![get(user(sync::digest))]),
        at(fixed(api!("sync-status")), vec![get(user(sync::status))]),
        at(fixed(api!("trigger-sync")), vec![post(user(sync::trigger))]),
        at(fixed(api!("devices")), vec![get(user(devices::list))]),
        at(named(api!("devices" / String)), vec![patch(user(devices::change)), delete(user(devices::revoke))]),
        at(fixed(api!("topics")), vec![get(user(tables::topics))]),
        at(fixed(api!("tables")), vec![get(user(tables::list))]),
        at(named(api!("tables" / String / "schema")), vec![get(user(tables::schema))]),
        at(fixed(api!("conflicts")), vec![get(user(conflicts::list))]),
        at(named(api!("conflicts" / String / "resolve")), vec![post(user(conflicts::resolve))]),
        at(fixed(api!("export")), vec![get(user(export::everything))]),
        at(fixed(api!("active-users")), vec![get(user(operator::active_users))]),
        at(fixed(api!("test-broadcast")), vec![post(operator::test_broadcast)]),
        at(fixed(api!("health")), vec![get(health::health)]),
        at(fixed(path!("livez")), vec![get(health::alive)]),
        at(fixed(path!("readyz")), vec![get(health::ready)]),
        at(fixed(path!("client.js")), vec![get(assets::client)]),
        at(fixed(path!("demo")), vec![get(assets::page)]),
        at(named(path!("demo" / String)), vec![get(assets::asset)]),
        unknown(),
    ])
}
