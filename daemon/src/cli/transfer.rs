//! `ryzed import` and `ryzed export`, beside a daemon that may be running on the same database.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;

use super::store::{self, Stay};
use super::{Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::service::Service;
use crate::transfer::{self, ExportArgs, ImportArgs, TransferError};

pub(super) fn import(config: &Config, args: &ImportArgs) -> Outcome {
    with_service(config, |service| Box::pin(async move { transfer::import(&service, args).await }))
}

pub(super) fn export(config: &Config, args: &ExportArgs) -> Outcome {
    with_service(config, |service| Box::pin(async move { transfer::export(&service, args).await }))
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
        Err(error @ TransferError::Usage(_)) => Err(Failure::usage(error)),
        Err(error) => Err(anyhow::Error::new(error).into()),
    }
}
