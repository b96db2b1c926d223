//! The catalogue that a new database starts with: `config/catalogue/*.csv`, built into the program.

use ryzed_adapters::Registry;
use serde_json::Value;
use uuid::Uuid;

use super::csv_rows::CsvRows;
use super::load::Loader;
use super::owner::Owner;
use super::source::{Incoming, Input};
use super::{Refusal, Summary, TransferError, Watch};
use crate::service::Service;
use crate::sync::Scope;

/// The files, by table, parents before children.
const FILES: [(&str, &str); 6] = [
    ("foods", include_str!("../../../config/catalogue/foods.csv")),
    ("exercises", include_str!("../../../config/catalogue/exercises.csv")),
    ("workout_templates", include_str!("../../../config/catalogue/workout_templates.csv")),
    ("workout_template_exercises", include_str!("../../../config/catalogue/workout_template_exercises.csv")),
    ("hiit_workouts", include_str!("../../../config/catalogue/hiit_workouts.csv")),
    ("cardio_activities", include_str!("../../../config/catalogue/cardio_activities.csv")),
];

/// Fills the catalogue of a database into which nothing was ever written, so that what an operator deletes stays deleted, and a
/// database that lost its rows is not taken for a new one. Says whether it did, and logs it.
///
/// # Errors
/// Those of the database. The files go in as one batch, and so all or none, unless the configuration makes batches smaller.
pub async fn load(service: &Service) -> Result<Option<Summary>, TransferError> {
    let heads = service.heads(&[Scope::Global]).await?;
    if !service.is_new() || heads.iter().any(|(_, version)| *version > 0) {
        return Ok(None);
    }
    let rows = rows()?.into_iter().map(|incoming| to_wire(incoming, &service.registry));
    let rows: Vec<_> = rows.collect();
    let summary = Loader::new(service, Owner::Catalogue, &mut Log).load(Box::new(rows.into_iter())).await?;
    tracing::info!(rows = summary.written, "the database is new, and its catalogue now holds the starter catalogue");
    Ok(Some(summary))
}

/// The ids of the starter catalogue's rows, by which it is told from a catalogue that somebody keeps.
pub(super) fn ids() -> Result<Vec<Uuid>, TransferError> {
    let mut ids = Vec::new();
    for incoming in rows()? {
        let Ok((_, row)) = incoming?.row else { continue };
        ids.extend(row.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok()));
    }
    Ok(ids)
}

/// Its rows, whole and each with its id, whichever columns travel here.
fn rows() -> Result<Vec<Result<Incoming, TransferError>>, TransferError> {
    let registry = Registry::standard();
    let mut all = Vec::new();
    for (name, text) in FILES {
        let Some(table) = registry.get(name) else { continue };
        for incoming in CsvRows::new(Input::of(name, text.as_bytes()), table, b',')? {
            all.push(incoming.map(|mut incoming| {
                if let Ok((_, row)) = &mut incoming.row
                    && let Err(error) = Owner::Catalogue.claim(&registry, table, row)
                {
                    incoming.row = Err(vec![error]);
                }
                incoming
            }));
        }
    }
    Ok(all)
}

/// A row without the columns that stay home: the database has defaults for them.
fn to_wire(incoming: Result<Incoming, TransferError>, registry: &Registry) -> Result<Incoming, TransferError> {
    incoming.map(|mut incoming| {
        if let Ok((table, row)) = &mut incoming.row {
            row.retain(|name, _| registry.get(table).is_some_and(|table| table.column(name).is_some()));
        }
        incoming
    })
}

struct Log;

impl Watch for Log {
    fn refused(&mut self, refusal: &Refusal) {
        tracing::warn!(%refusal, "a row of the starter catalogue was not taken");
    }

    fn moved(&mut self, _: &Summary) {}
}
