//! An executor that polls when it is told to.

use std::pin::Pin;
use std::task::Poll;

use kva::sync::Arc;

use super::support::Task;

pub(crate) type Running<T> = Pin<Box<dyn Future<Output = T>>>;

/// A future that has not ended.
pub(crate) struct Waiting<A, T> {
    /// What the model says of it.
    pub(crate) about: A,
    task: Arc<Task>,
    future: Running<T>,
}

impl<A, T> Waiting<A, T> {
    pub(crate) fn is_woken(&self) -> bool {
        self.task.woken() > 0
    }
}

/// Those that have not ended, in the order in which they began.
pub(crate) struct Tasks<A, T>(pub(crate) Vec<Waiting<A, T>>);

impl<A, T> Tasks<A, T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Polls it once. What it came to, if it has ended by that.
    pub(crate) fn begin(&mut self, about: A, mut future: Running<T>) -> Option<(A, T)> {
        let task = Task::new().0;
        match task.poll(future.as_mut()) {
            Poll::Ready(outcome) => Some((about, outcome)),
            Poll::Pending => {
                self.0.push(Waiting { about, task, future });
                None
            }
        }
    }

    /// Polls one, as another task if it was not woken. If nobody was, it has nothing (P2); else it may do
    /// what another was woken for.
    pub(crate) fn poll(&mut self, at: usize) -> Option<(A, T)> {
        let was_quiet = self.is_quiet();
        let was_woken = self.0[at].is_woken();
        let Waiting { task, future, .. } = &mut self.0[at];
        if !was_woken {
            *task = Task::new().0;
        }
        task.woken.store(0, kva::sync::atomic::Ordering::SeqCst);
        let Poll::Ready(outcome) = task.poll(future.as_mut()) else { return None };
        assert!(!was_quiet, "it was not woken for what it has");
        Some((self.0.remove(at).about, outcome))
    }

    /// Polls those that were woken, until none is. What they came to.
    pub(crate) fn run(&mut self) -> Vec<(A, T)> {
        let mut ended = Vec::new();
        while let Some(at) = self.0.iter().position(Waiting::is_woken) {
            ended.extend(self.poll(at));
        }
        ended
    }

    pub(crate) fn is_quiet(&self) -> bool {
        !self.0.iter().any(Waiting::is_woken)
    }
}
