//! Changes of every form, see `crate::fuzz`.

use chrono::DateTime;
use ryzed_adapters::Registry;
use serde_json::value::RawValue;

use super::request::Change;
use crate::sync::raw::RowBounds;
use crate::sync::wire::Status;

const BOUNDS: RowBounds = RowBounds { fields: 200, depth: 64 };

thread_local! {
    static REGISTRY: Registry = Registry::standard();
}

#[test]
fn fuzz_change() {
    crate::fuzz::run("change", |input| {
        let Ok(upload) = serde_json::from_slice::<&RawValue>(input) else { return };
        let newest = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        REGISTRY.with(|registry| match Change::read(upload, registry, BOUNDS, false, newest) {
            Change::Parsed(ready) => {
                assert_eq!(registry.get(ready.table).map(|table| table.name), Some(ready.table));
                assert!(uuid::Uuid::try_parse(ready.id.as_str()).is_ok(), "{}", ready.id);
                let brought = ready.asked.brought().map_or(0, serde_json::Map::len);
                assert!(brought <= BOUNDS.fields + 1, "{brought} fields");
            }
            Change::Malformed(result) => {
                assert_eq!(result.status, Status::Rejected);
                assert!(!result.errors.is_empty(), "it is not said what is wrong");
            }
        });
    });
}
