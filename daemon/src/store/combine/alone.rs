//! The operations that no job of a set may ask for: it leaves.

use async_trait::async_trait;
use uuid::Uuid;

use super::member::Member;
use crate::store::compare::{BlindNote, Compare, Difference};
use crate::store::times::{StoredTimes, Times};
use crate::store::{HousekeepingOperations, OpenConflict, OpenConflicts, OpenPage, OpenStand, StoreError};
use crate::sync::{RowId, UserId};

macro_rules! alone {
    ($($name:ident { $($method:ident($($kind:ty),*) -> $answer:ty;)* })*) => {
        $(#[async_trait]
        impl $name for Member {
            $(async fn $method(&mut self, $(_: $kind),*) -> Result<$answer, StoreError> {
                self.leave()
            })*
        })*
    };
}

alone! {
    Compare {
        ids_after(&str, Option<&RowId>, i64) -> Vec<RowId>;
        differences(&str, &[RowId]) -> Vec<(RowId, Difference)>;
        mend(&str, &[RowId]) -> usize;
        blind_note(&str) -> Option<BlindNote>;
        settle(&str, &BlindNote) -> bool;
        scopes_after(&str, i64) -> Vec<String>;
        miscounted(&[String]) -> Vec<String>;
        recount(&[String]) -> ();
    }
    OpenConflicts {
        open_page(UserId, Option<Uuid>, i64, usize) -> OpenPage;
        open_conflict(UserId, Uuid) -> Option<OpenConflict>;
        conflicts_at(UserId, &[String]) -> Vec<OpenConflict>;
        conflicts_with_parts(UserId) -> Vec<OpenConflict>;
        open_stand(UserId) -> OpenStand;
        keep_conflicts(UserId, &[OpenConflict], &str) -> ();
        drop_conflict(UserId, Uuid) -> ();
    }
    Times {
        times() -> StoredTimes;
        keep_time(&str) -> ();
    }
    HousekeepingOperations {
        prune_tombstones(&str, i64) -> usize;
        prune_receipts(&str, i64) -> usize;
        forget_passing_device(UserId, &str) -> usize;
        prune_devices(&str, i64) -> usize;
    }
}
