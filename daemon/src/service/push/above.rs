//! A row whose parent was deleted elsewhere: that is a conflict of the row above. Where the strategy lets the row come back that
//! an edit was for, the parent comes back for its parts; it is told once, however many parts ask for it.

use std::collections::HashMap;
use std::sync::Arc;

use ryzed_adapters::{Row, ScopeRule, Table, UNSAID, format_time};
use serde_json::Value;

use super::super::request::{ParsedChange, references};
use super::lineage::Back;
use super::rights::{may_do, via};
use super::row_cache::Key;
use super::run::{PushRun, Refusal};
use crate::sync::decide::{Effect, OwnEdits};
use crate::sync::said;
use crate::sync::wire::Conflict;

impl PushRun<'_> {
    /// Brings back what the row is a part of, as far up as it is gone, where the strategy says so. Otherwise nothing is done, and
    /// the row is refused like any whose parent is not there.
    pub(super) fn bring_back_above(&mut self, change: &ParsedChange, table: &Table, row: &Row) -> Result<(), Refusal> {
        let ScopeRule::Via { column, parent } = table.scope else { return Ok(()) };
        let registry = Arc::clone(&self.push.registry);
        let (Some(rank), Some(id)) = (registry.rank(parent), row.get(column).and_then(Value::as_str)) else {
            return Ok(());
        };
        let Some(above) = registry.get(parent).filter(|above| above.takes_rows()) else { return Ok(()) };
        let strategy = self.push.strategy_above(change, above);
        let brings = self.push.brings_back(strategy);
        let key: Key = (rank, id.into());
        let gone =
            self.cache.working(&key).filter(|working| working.row.is_none() && working.mine != OwnEdits::Deleted);
        let former = gone.and_then(|working| working.known.as_ref()?.former_row());
        // Of one that went while no trigger looked nobody knows what it was.
        let Some(former) = former.filter(|former| brings && !former.is_empty()).cloned() else { return Ok(()) };
        let (name, mut back) = (above.name, self.as_it_comes_back(above, former));
        if let Some(rights) = self.rights.get(name) {
            may_do(rights, &Effect::Put(back.clone(), HashMap::new()), &back, true)?;
        }
        self.bring_back_above(change, above, &back)?;
        if above.column("updated_at").is_some() {
            back.insert("updated_at".into(), format_time(self.push.now).into());
        }
        self.put_in_memory(above, &key, back, HashMap::new())?;
        self.changed.insert(key.clone());
        self.back.push(Back { key, mutation_id: change.asked.mutation_id, strategy });
        Ok(())
    }

    /// The row before it was deleted. What it named besides, and is gone by now, is null as it would have become.
    fn as_it_comes_back(&self, table: &Table, former: Row) -> Row {
        let mut row = former;
        let registry = &self.push.registry;
        let lost = references(table, &row).filter(|(column, parent, id)| {
            Some(*column) != via(table) && self.cache.owner(registry, parent, id).is_none()
        });
        let lost: Vec<String> = lost.map(|(column, ..)| column.to_owned()).collect();
        row.extend(lost.into_iter().map(|column| (column, Value::Null)));
        let unsaid = said::unsaid(table, &row);
        if !unsaid.is_empty() {
            row.insert(UNSAID.into(), unsaid.into());
        }
        table.complete(&mut row, self.push.now);
        row
    }

    /// The conflicts of rows that came back, each told once.
    pub(super) fn told_back(&mut self) -> Vec<Conflict> {
        let back = std::mem::take(&mut self.back);
        let told = back.into_iter().filter_map(|Back { key, mutation_id, strategy }| {
            // The database may have refused it.
            self.row(key.0, &key.1)?;
            let table = self.push.registry.iter().nth(key.0)?.name.to_owned();
            let (id, row) = (key.1.clone(), self.row_told(key));
            Some(Conflict {
                conflict_id: None,
                mutation_id,
                table,
                id,
                strategy,
                fields: Vec::new(),
                row,
                parts: Vec::new(),
            })
        });
        told.collect()
    }
}
