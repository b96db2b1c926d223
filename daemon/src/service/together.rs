//! Questions of many that come at once, asked of the database together: what comes while one is being asked is in the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The most questions that are asked at once.
const MOST: usize = 256;

/// Questions that wait, each with the one who asks.
pub(super) struct Together<Q, A>(Mutex<Waiting<Q, A>>);

struct Waiting<Q, A> {
    questions: Vec<(Q, oneshot::Sender<A>)>,
    is_asking: bool,
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { questions: Vec::new(), is_asking: false }))
    }
}

impl<Q, A> Together<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    /// Asks with the others. `read` answers several questions in their order; none when it can't, and then nobody gets an answer
    /// of them. It starts after the question was put.
    pub(super) async fn ask<R>(self: &Arc<Self>, question: Q, read: impl Fn(Vec<Q>) -> R + Send + 'static) -> Option<A>
    where
        R: Future<Output = Option<Vec<A>>> + Send,
    {
        let (sender, receiver) = oneshot::channel();
        if self.put(question, sender) {
            let asking = Asking(Arc::clone(self));
            // Apart from who asks first: they may go away.
            tokio::spawn(async move {
                while let Some((questions, senders)) = asking.take() {
                    let answers = read(questions).await.unwrap_or_default();
                    senders.into_iter().zip(answers).for_each(|(sender, answer)| drop(sender.send(answer)));
                }
            });
        }
        receiver.await.ok()
    }

    /// Puts a question; true if nobody asks yet.
    fn put(&self, question: Q, sender: oneshot::Sender<A>) -> bool {
        let mut waiting = self.waiting();
        waiting.questions.push((question, sender));
        !std::mem::replace(&mut waiting.is_asking, true)
    }
}

impl<Q, A> Together<Q, A> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody asks. Should that end early, those who wait get no answer, and the next one asks.
struct Asking<Q, A>(Arc<Together<Q, A>>);

impl<Q, A> Asking<Q, A> {
    /// The questions to ask next; none when there are none, and then nobody asks any more.
    fn take(&self) -> Option<(Vec<Q>, Vec<oneshot::Sender<A>>)> {
        let mut waiting = self.0.waiting();
        let some = waiting.questions.len().min(MOST);
        if some == 0 {
            waiting.is_asking = false;
            return None;
        }
        Some(waiting.questions.drain(..some).unzip())
    }
}

impl<Q, A> Drop for Asking<Q, A> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        if std::mem::replace(&mut waiting.is_asking, false) {
            waiting.questions.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn what_is_asked_at_once_is_one_question_and_each_gets_its_own_answer() {
        let (together, reads) = (Arc::new(Together::default()), Arc::new(AtomicUsize::new(0)));
        let ask = |number: usize| {
            let reads = Arc::clone(&reads);
            together.ask(number, move |questions: Vec<usize>| {
                let reads = Arc::clone(&reads);
                async move {
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Some(questions.into_iter().map(|question| question * 2).collect())
                }
            })
        };
        let answers = join_all((0..MOST * 3).map(ask)).await;
        assert_eq!(answers, (0..MOST * 3).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert!(reads.load(Ordering::Relaxed) <= 4);
        assert_eq!(ask(7).await, Some(14));
    }

    #[tokio::test]
    async fn a_question_that_fails_or_panics_answers_nobody_and_the_next_is_asked() {
        let together = Arc::new(Together::<bool, bool>::default());
        let ask = |fails| {
            together.ask(fails, |questions: Vec<bool>| async move {
                assert!(!questions[0], "a test panics");
                None
            })
        };
        assert_eq!(ask(true).await, None);
        assert_eq!(ask(false).await, None);
        assert_eq!(together.ask(true, |questions: Vec<bool>| async move { Some(questions) }).await, Some(true));
    }
}
