//! A thread that does what it is told, one thing after the other: so a test says which thread does
//! what, and when.

use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};

type Job<'scope> = Box<dyn FnOnce() + Send + 'scope>;

pub(crate) struct Worker<'scope> {
    jobs: mpsc::Sender<Job<'scope>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Worker<'scope> {
    pub(crate) fn new(scope: &'scope Scope<'scope, '_>) -> Self {
        let (jobs, to_do) = mpsc::channel::<Job<'scope>>();
        let thread = scope.spawn(move || {
            for job in to_do {
                job();
            }
        });
        Self { jobs, thread }
    }

    /// Has it do something, and returns when that is done.
    pub(crate) fn run<R: Send + 'scope>(&self, job: impl FnOnce() -> R + Send + 'scope) -> R {
        self.start(job).recv().expect("the worker panicked")
    }

    /// Has it do something. What comes of it is received.
    pub(crate) fn start<R: Send + 'scope>(
        &self,
        job: impl FnOnce() -> R + Send + 'scope,
    ) -> mpsc::Receiver<R> {
        let (tell, told) = mpsc::channel();
        let job = move || drop(tell.send(job()));
        self.jobs.send(Box::new(job)).expect("the worker panicked");
        told
    }

    /// Ends it. When this returns, its thread-locals are gone too: a scope does not wait for those.
    pub(crate) fn end(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}
