//! The actor of one connected device: a thin shell round [`Machine`].
//!
//! Its socket asks it one thing at a time and writes the answer itself, so that at most one incoming message waits.

mod incoming;
mod machine;
pub(crate) mod mailbox;
mod problem;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use super::close::CloseReason;
use super::context::ActorContext;
use super::link::Link;
use super::message::ServerMessage;
use crate::auth::{AuthError, Caller, Verify};
use crate::budget::{Arriving, Refused, SMALL, cost_of};
use crate::service::ServiceError;
pub use incoming::{token_of, unread_of_auth};
use machine::{Effect, Event, Machine, Now};
use mailbox::{Answer, DeviceMsg, Input, Setup};

pub(crate) struct Device;

pub(crate) struct DeviceState {
    shared: Arc<ActorContext>,
    link: Arc<Link>,
    caller: Caller,
    verify: Arc<dyn Verify>,
    machine: Machine,
    /// The last time at which the database admitted the device on this connection.
    admitted: Option<Instant>,
}

impl Actor for Device {
    type Msg = DeviceMsg;
    type State = DeviceState;
    type Arguments = (Arc<ActorContext>, Box<Setup>);

    async fn pre_start(
        &self,
        _: ActorRef<DeviceMsg>,
        (shared, setup): Self::Arguments,
    ) -> Result<DeviceState, ActorProcessingErr> {
        let Setup { link, caller, verify } = *setup;
        let heartbeat = shared.settings.heartbeat;
        let now = now(&shared);
        let machine = Machine::new(&caller, link.device.clone(), heartbeat, shared.backend.limits(), now);
        Ok(DeviceState { shared, link, caller, verify, machine, admitted: None })
    }

    async fn handle(
        &self,
        _: ActorRef<DeviceMsg>,
        message: DeviceMsg,
        state: &mut DeviceState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.link.pulse.begin();
        match message {
            DeviceMsg::Input(input, reply) => {
                let answer = Box::pin(state.answer(input)).await;
                let _ = reply.send(answer);
            }
            #[cfg(any(test, feature = "faults"))]
            DeviceMsg::Fault(fault) => fault.happen().await,
        }
        Ok(())
    }
}

fn now(shared: &ActorContext) -> Now {
    Now { instant: Instant::now(), time: shared.backend.now() }
}

impl DeviceState {
    async fn answer(&mut self, input: Input) -> Answer {
        let mut answer = Answer { messages: Vec::new(), memory: None, close: None, deadline: Instant::now() };
        // For what a message is worked on; it may have come as a thousandth of what it is.
        let _memory = match self.memory_for(&input).await {
            Ok(memory) => memory,
            Err(refused) => {
                answer.close = Some(CloseReason::of(&refused.into()));
                return answer;
            }
        };
        let event = match input {
            Input::Text(text) => Event::Text(text),
            Input::Binary => Event::Binary,
            Input::Heard => Event::Heard,
            Input::Tick => Event::Tick,
        };
        let mut effects = VecDeque::from(self.machine.on(now(&self.shared), event));
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.perform(effect, &mut answer).await {
                effects.extend(self.machine.on(now(&self.shared), event));
            }
            if answer.close.is_some() {
                break;
            }
        }
        answer.deadline = self.machine.deadline(now(&self.shared));
        answer
    }

    async fn memory_for(&self, input: &Input) -> Result<Option<Arriving>, Refused> {
        let Input::Text(text) = input else { return Ok(None) };
        if text.len() <= SMALL {
            return Ok(None);
        }
        let mut memory = self.shared.backend.budget().arriving(self.caller.user, text.len()).await?;
        memory.came(text.len()).await?;
        self.link.pulse.heartbeat();
        Ok(Some(memory))
    }

    /// Reads a long message, once it is paid for.
    async fn read(&self, text: Bytes) -> Result<Event, Refused> {
        let (backend, device) = (&self.shared.backend, self.link.device.clone());
        let (budget, limits) = (backend.budget(), Arc::clone(backend.limits()));
        let bytes = text.len();
        budget.charge_in_time(self.caller.user, cost_of(bytes, 0)).await?;
        self.link.pulse.heartbeat();
        let work = move || incoming::read_whole(&text, &device, &limits);
        let read = budget.aside(self.caller.user, bytes, work).await;
        self.link.pulse.heartbeat();
        Ok(Event::Read(read))
    }

    /// Does what the machine decided; what came of it may be an event for the machine.
    async fn perform(&mut self, effect: Effect, answer: &mut Answer) -> Option<Event> {
        match effect {
            Effect::Hear(time) => self.shared.backend.hear_clock(self.caller.user, time),
            Effect::Pong(ignored) => self.say(answer, &ServerMessage::Pong { ignored: ignored.names() }),
            Effect::Ignore(answers, ignored) => {
                self.say(answer, &ServerMessage::Ignored { answers, ignored: ignored.names() });
            }
            Effect::Warn { expires_at } => self.say(answer, &ServerMessage::TokenExpiring { expires_at }),
            Effect::Refuse(problem) => self.say(answer, &problem.message()),
            Effect::Close(reason) => answer.close = Some(reason),
            Effect::Read(text) => {
                return match self.read(text).await {
                    Ok(read) => Some(read),
                    Err(refused) => {
                        answer.close = Some(CloseReason::of(&refused.into()));
                        None
                    }
                };
            }
            Effect::Verify(token) => {
                return match self.verify.verify(&token).await {
                    Ok(caller) if caller.user == self.caller.user => self.renewed(caller, answer).await,
                    Ok(caller) => Some(Event::Renewed(Box::new(caller))),
                    Err(error) => Some(Event::NotRenewed(error)),
                };
            }
            Effect::Become(caller) => {
                self.link.came_with(caller.token.clone());
                self.caller = *caller;
            }
            Effect::Serve(request) => {
                if let Err(refused) = self.serve(request, answer).await {
                    match refused {
                        problem::Refused::Close(reason) => answer.close = Some(reason),
                        problem::Refused::Say(problem) => self.say(answer, &problem.message()),
                    }
                }
            }
        }
        None
    }

    /// A new token of the same person, which may be one that is refused.
    async fn renewed(&mut self, caller: Caller, answer: &mut Answer) -> Option<Event> {
        match self.shared.backend.admit(&caller, &self.link.device).await {
            Ok(()) => Some(Event::Renewed(Box::new(caller))),
            Err(ServiceError::Unavailable { .. }) => Some(Event::NotRenewed(AuthError::Unavailable)),
            Err(error) => {
                answer.close = Some(CloseReason::of(&error));
                None
            }
        }
    }

    fn say(&self, answer: &mut Answer, message: &ServerMessage<'_>) {
        answer.messages.push(self.shared.encoded(message));
    }
}
