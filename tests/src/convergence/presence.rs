//! Compares the connected devices as every daemon tells them with the sockets that there really are.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::device::Device;
use super::oracle::Oracle;
use super::world::Processes;
use crate::Person;

/// The time that the daemons may take to know it: a lease, a sweep, and a busy machine.
const KNOWN: Duration = Duration::from_secs(30);
/// The pause between two looks, in which the devices keep their sockets.
const PAUSE: Duration = Duration::from_millis(500);

/// Every daemon comes to tell the same, and the truth.
pub async fn judge(people: &[Person], devices: &mut [Device], processes: &Processes, oracle: &Oracle) {
    let began = Instant::now();
    loop {
        join_all(devices.iter_mut().map(|device| device.stay(PAUSE))).await;
        let Some(wrong) = wrong(people, devices, processes).await else { break };
        if began.elapsed() > KNOWN {
            return oracle.violated("verdict", wrong);
        }
    }
    oracle.timeline.note("verdict", "everybody knows who is connected");
}

/// The first difference that some daemon shows.
async fn wrong(people: &[Person], devices: &[Device], processes: &Processes) -> Option<String> {
    let connected = || devices.iter().filter(|device| device.is_connected());
    for (number, daemon) in processes.daemons.iter().enumerate() {
        for (index, person) in people.iter().enumerate() {
            let of_person = connected().filter(|device| device.id.person == index);
            let real: BTreeSet<String> = of_person.map(|device| device.id.name.clone()).collect();
            let told = daemon.account_of(person.clone()).api.get("/devices").await.ok();
            let listed = told.as_array().into_iter().flatten().filter(|device| device["is_active"] == true);
            let told: BTreeSet<String> =
                listed.filter_map(|device| Some(device["device_id"].as_str()?.to_owned())).collect();
            if told != real {
                return Some(format!(
                    "daemon {number} takes {told:?} of person {index} for connected, and {real:?} are"
                ));
            }
        }
        let health = daemon.account().api.get("/health").await.ok();
        if health["active_connections"].as_u64() != Some(connected().count() as u64) {
            return Some(format!("daemon {number} says {health}, and {} are connected", connected().count()));
        }
    }
    None
}
