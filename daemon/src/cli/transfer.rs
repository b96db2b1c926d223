//! `ryzed import` and `ryzed export`: beside a daemon that may be running on the same database, or of the database as a whole.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;

use super::store;
use super::{Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::service::Service;
use crate::store::Stay;
use crate::transfer::{self, ExportArgs, ImportArgs, TransferError};

pub(super) fn import(config: &Config, args: &ImportArgs) -> Outcome {
    if args.all {
        return alone(async {
            let (database, registry) = store::restore(config).await?;
            transfer::import_all(database, &registry, args).await.map_err(judged)
        });
    }
    with_service(config, |service| Box::pin(async move { transfer::import(&service, args).await }))
}

pub(super) fn export(config: &Config, args: &ExportArgs) -> Outcome {
    if args.all {
        return alone(async {
            let (database, registry) = store::dump(config, args.seal).await?;
            transfer::export_all(database, &registry, &SystemClock, args).await.map_err(judged)
        });
    }
    if args.unseal {
        return alone(async {
            let was_sealed = store::unseal(config).await?;
            aside!("{}", if was_sealed { "unsealed; every device starts over" } else { "the database was not sealed" });
            Ok(0)
        });
    }
    with_service(config, |service| Box::pin(async move { transfer::export(&service, args).await }))
}

/// Does what wants the database for itself.
fn alone(work: impl Future<Output = Result<u8, Failure>>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    runtime.block_on(work).map(|_| ())
}

fn judged(error: TransferError) -> Failure {
    store::judged(error.into())
}

fn with_service<'a>(
    config: &Config,
    work: impl FnOnce(Arc<Service>) -> LocalBoxFuture<'a, Result<u8, TransferError>>,
) -> Outcome {
    let keep = TimeDelta::days(config.sync.tombstone_days.into());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    let opened = runtime.block_on(store::open(config, Stay::Visitor, Arc::new(|| ())))?;
    let service = Service::new(opened.store, opened.registry, Arc::new(SystemClock), config.limits.clone(), keep);
    let service = Arc::new(service);
    let outcome = runtime.block_on(async {
        let outcome = work(Arc::clone(&service)).await;
        service.close().await;
        outcome
    });
    match outcome {
        Ok(0) => Ok(()),
        Ok(_) => Err(anyhow!("some rows were refused; what is wrong with each is said above").into()),
        Err(error) => Err(judged(error)),
    }
}
