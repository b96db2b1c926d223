//! Conflicts under the strategy `manual`: listed until a person settles them.

use std::sync::Arc;

use ryzed_adapters::{Registry, Row, Strategy, code};
use uuid::Uuid;

use super::push::{Push, Stop};
use super::request::Change;
use super::{Pushed, Resolution, Service, ServiceError, Settlement};
use crate::auth::Caller;
use crate::store::{OpenConflict, Transaction};
use crate::sync::wire::{ChangeResult, Conflict, Intent, Mutation, Status};

/// What settles a conflict is written on behalf of this device: nobody's, so that every device is told.
const SETTLER: &str = "ryzed";

impl Service {
    /// The caller's open conflicts, oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn conflicts(&self, caller: &Caller) -> Result<Vec<Conflict>, ServiceError> {
        let user = caller.user;
        let open: Vec<OpenConflict> = self
            .store
            .read(caller, move |tx| Box::pin(async move { Ok::<_, ServiceError>(tx.conflicts(user, None).await?) }))
            .await?;
        let open = open.iter().filter_map(|open| serde_json::from_str(&open.conflict).ok());
        Ok(open.map(|conflict| travelling(conflict, &self.registry)).collect())
    }

    /// Settles one conflict: the chosen values are written as the newest, the conflict is forgotten.
    ///
    /// # Errors
    /// When there is no such conflict, when `fields` comes without data, or when the values can't be stored: the conflict
    /// then stays open.
    pub async fn settle(
        &self,
        caller: &Caller,
        id: Uuid,
        settlement: Settlement,
    ) -> Result<ChangeResult, ServiceError> {
        let given = settlement.data.as_ref().is_some_and(|data| !data.is_empty());
        if (settlement.resolution == Resolution::Fields) != given {
            let message = "must be given with the resolution \"fields\", and only with it";
            return Err(ServiceError::field("data", code::REQUIRED, message));
        }
        let settle = Arc::new(Settle {
            push: Push {
                registry: Arc::clone(&self.registry),
                caller: caller.clone(),
                device: SETTLER.parse().ok(),
                changes: Vec::new(),
                strategy: Some(Strategy::ClientWins),
                atomic: false,
                same_life: true,
                now: self.clock.now(),
            },
            id,
            settlement,
        });
        let (pushed, result) = self
            .store
            .write(caller, move |tx| {
                let settle = Arc::clone(&settle);
                Box::pin(async move { settle.run(tx).await })
            })
            .await?;
        self.tell(&pushed);
        Ok(result)
    }
}

struct Settle {
    push: Push,
    id: Uuid,
    settlement: Settlement,
}

impl Settle {
    async fn run(&self, tx: &mut dyn Transaction) -> Result<(Pushed, ChangeResult), ServiceError> {
        let user = self.push.caller.user;
        let open = tx.conflicts(user, Some(self.id)).await?;
        let open = open.first().ok_or(ServiceError::NotFound("open conflict"))?;
        let unreadable = || ServiceError::NotFound("readable conflict");
        let conflict: Conflict = serde_json::from_str(&open.conflict).map_err(|_| unreadable())?;
        let conflict = travelling(conflict, &self.push.registry);
        let mut asked: Mutation = serde_json::from_str(&open.mutation).map_err(|_| unreadable())?;
        asked.data.retain(|name, _| travels(&self.push.registry, &asked.table, name));
        tx.drop_conflict(user, self.id).await?;
        let Some(mutation) = self.mutation(&conflict, asked) else {
            let result = ChangeResult {
                mutation_id: None,
                status: Status::Applied,
                table: conflict.table,
                id: Some(conflict.id),
                version: None,
                errors: Vec::new(),
            };
            return Ok((Pushed::default(), result));
        };
        let change = Change::of(mutation, &self.push.registry).map_err(|error| ServiceError::Invalid(vec![*error]))?;
        let push = Push {
            registry: Arc::clone(&self.push.registry),
            caller: self.push.caller.clone(),
            device: self.push.device.clone(),
            changes: vec![change],
            ..self.push
        };
        let mut pushed = push.run(tx).await.map_err(|stop| match stop {
            Stop::Store(error) => ServiceError::from(error),
            Stop::Atomic(_) | Stop::Waits(_) => unreadable(),
        })?;
        if let Some(table) = pushed.waits_for {
            return Err(ServiceError::Stopped(table));
        }
        let mut result = pushed.results.pop().ok_or_else(unreadable)?;
        if result.status == Status::Rejected {
            return Err(ServiceError::Invalid(result.errors));
        }
        // That the chosen values beat the server's is what was asked for, and no conflict.
        result.status = Status::Applied;
        Ok((pushed, result))
    }

    /// What to write; none when the server's values stay.
    fn mutation(&self, conflict: &Conflict, asked: Mutation) -> Option<Mutation> {
        let data = match self.settlement.resolution {
            Resolution::Server => return None,
            Resolution::Client if asked.operation == Intent::Delete || conflict.row.is_none() => asked.data,
            Resolution::Client => {
                conflict.fields.iter().map(|field| (field.field.clone(), field.client.clone())).collect()
            }
            Resolution::Fields => self.settlement.data.clone().unwrap_or_default(),
        };
        let deletes = asked.operation == Intent::Delete && self.settlement.resolution == Resolution::Client;
        Some(Mutation {
            mutation_id: None,
            table: conflict.table.clone(),
            operation: if deletes { Intent::Delete } else { Intent::Upsert },
            data: with_id(data, conflict),
            base_version: None,
            conflict_strategy: Some(Strategy::ClientWins),
        })
    }
}

/// A conflict as it was kept, without columns that stay home since.
pub(super) fn travelling(mut conflict: Conflict, registry: &Registry) -> Conflict {
    conflict.fields.retain(|field| travels(registry, &conflict.table, &field.field));
    if let Some(row) = &mut conflict.row {
        row.retain(|name, _| name == "_version" || travels(registry, &conflict.table, name));
    }
    conflict
}

fn travels(registry: &Registry, table: &str, column: &str) -> bool {
    registry.get(table).is_some_and(|table| table.column(column).is_some())
}

fn with_id(mut data: Row, conflict: &Conflict) -> Row {
    data.insert("id".into(), conflict.id.as_str().into());
    data
}
