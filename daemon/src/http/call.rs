//! One request: its caller, its body, and the memory of its answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use warp::http::Version;
use warp::http::header::HeaderMap;

use super::App;
use super::answer::{Answer, of_json, written};
use super::body::{Body, Text};
use super::headers::{bearer, date};
use super::ignored::Ignored;
use super::observe::Identity;
use super::problem::Problem;
use super::query::Query;
use crate::auth::{AuthError, Caller};
use crate::budget::{Turn, Visit};
use crate::metrics::metrics;
use crate::sync::strangers::Strangers;
use crate::sync::{DeviceId, UserId};

/// One request, for its handler.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    /// The path's named part.
    pub(super) name: String,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    /// The HTTP version of the request.
    pub(super) version: Option<Version>,
    body: Body,
    identity: Option<Identity>,
    /// Counts as one of the caller's requests until this call is over.
    visit: Option<Visit>,
    /// The body, while it is worked on.
    text: Option<Text>,
    pub(super) ignored: Ignored,
}

/// A request as it came, before anything of it was read.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) version: Option<Version>,
    pub(super) identity: Option<Identity>,
    pub(super) body: BoxStream<'static, Result<Bytes, warp::Error>>,
}

impl Call {
    pub(super) fn new(app: &Arc<App>, request: Request) -> Self {
        let Request { name, query, headers, version, identity, body } = request;
        Self {
            app: Arc::clone(app),
            name,
            query: Query::of(&query),
            body: Body::new(body, &headers, &app.config),
            headers,
            version,
            identity,
            visit: None,
            text: None,
            ignored: Ignored::default(),
        }
    }

    /// Authenticates the request by its token. From then on it counts as one of that person's.
    pub(super) async fn caller(&mut self) -> Result<Caller, Problem> {
        let verified = match bearer(&self.headers) {
            Some(token) => self.app.verifier.verify(token).await,
            None => Err(AuthError::Missing),
        };
        let caller = verified.inspect_err(|error| metrics().auth_refusals.inc(error.into()))?;
        if let Some(date) = date(&self.headers) {
            self.app.service.hear_clock(caller.user, date);
        }
        if let Some(identity) = &self.identity {
            identity.set(caller.user);
        }
        self.body.is_of(caller.user);
        self.visit = Some(self.app.service.budget.enter(caller.user, 1)?);
        Ok(caller)
    }

    /// The body as JSON, in the memory of this person's share.
    pub(super) async fn json<T>(&mut self, user: UserId) -> Result<T, Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        Ok(self.weighed(user).await?.0)
    }

    /// The same, where an empty body stands for what is default.
    pub(super) async fn json_or_default<T>(&mut self, user: UserId) -> Result<T, Problem>
    where
        T: DeserializeOwned + Default + Send + 'static,
    {
        self.read(user).await?;
        if self.text.as_ref().is_some_and(Text::is_blank) { Ok(T::default()) } else { Ok(self.parsed().await?.0) }
    }

    /// The body as JSON, and what its values take in memory, in bytes.
    pub(super) async fn weighed<T>(&mut self, user: UserId) -> Result<(T, usize), Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.read(user).await?;
        self.parsed().await
    }

    /// Takes the whole request away unread, so that its client gets to read why.
    pub(super) async fn discard(&mut self) {
        self.body.discard().await;
    }

    async fn read(&mut self, user: UserId) -> Result<(), Problem> {
        self.body.check().await?;
        let budget = &self.app.service.budget;
        let text = match budget.arriving(user, self.body.most()).await {
            Ok(arriving) => {
                // What others of theirs have cost meanwhile.
                budget.charge(user, 0)?;
                self.body.read(arriving).await?
            }
            Err(refused) => {
                self.body.discard().await;
                return Err(refused.into());
            }
        };
        self.text = Some(text);
        Ok(())
    }

    async fn parsed<T>(&mut self) -> Result<(T, usize), Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let text = self.text.as_ref().ok_or_else(Problem::internal)?;
        let (value, weight, strangers) = text.json(self.app.config.limits.parsed_bytes).await?;
        self.ignores(|ignored| ignored.merge(&strangers));
        Ok((value, weight))
    }

    /// Notes what nothing reads of the request; its answer names it.
    pub(super) fn ignores(&self, note: impl FnOnce(&mut Strangers)) {
        self.ignored.note(note);
    }

    /// A JSON answer of about so many bytes, in the memory of this person's share. `turn` is kept until there is some.
    pub(super) async fn answer(&mut self, user: UserId, value: &impl Serialize, about: usize, turn: Turn) -> Answer {
        let text = written(value, about)?;
        let memory = self.app.service.budget.answer(user, text.capacity()).await?;
        drop(turn);
        Ok(of_json(memory.keep(text)))
    }

    /// The same where something was done already: then it is too late for a refusal, and there is no end to the waiting.
    pub(super) async fn result(&mut self, user: UserId, value: &impl Serialize, about: usize, turn: Turn) -> Answer {
        let text = written(value, about)?;
        let memory = self.app.service.budget.result(user, text.capacity()).await;
        drop(turn);
        Ok(of_json(memory.keep(text)))
    }

    /// Notes that the request waits for news: how long it takes says nothing of the daemon.
    pub(super) fn waits(&self) {
        self.identity.iter().for_each(Identity::waits);
    }

    /// Notes for the log which of the caller's devices it is.
    pub(super) fn is_device(&self, device: &DeviceId) {
        self.identity.iter().for_each(|identity| identity.is_device(device));
    }
}
