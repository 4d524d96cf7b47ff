//! Objects that are created on threads of the pool's own: grower threads.
//!
//! A creation that has begun on a thread cannot be stopped. Once nobody needs it any more nobody
//! counts on it either: it keeps its slot of the ledger and its thread until it ends, and whoever
//! comes begins another. So one that hangs costs a thread and a slot, and holds up nobody. What is
//! created for nobody is kept for the next, as far as high water allows.
//!
//! Threads are there while there is work for them. None waits for any, so nothing has to be told
//! that the pool is gone.

use std::alloc::Layout;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use kva::holds::as_nobody;
use kva::panics::discard;
use kva::sync::{Arc, Mutex, thread};
use kva::{Answer, Committed, Grow, GrowId, Work};

use super::Backend;
use super::factory::{Create, Place, object_factory};

/// Why a grower thread brought no object.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use pool::{GetError, GrowerError, Growers, Pool};
///
/// let growers = Growers::new(1, || Err::<String, _>(std::fmt::Error));
/// let pool = Pool::from_factory(1, growers).build()?;
/// assert!(matches!(pool.get(), Err(GetError::Backend(GrowerError::Failed(_)))));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowerError<E> {
    /// The creation failed.
    #[error(transparent)]
    Failed(E),
    /// There was no thread to create it on, and none could be started.
    #[error("no grower thread could be started")]
    NoThread(#[source] io::Error),
}

type Job<T, E> = Committed<Place<T>, GrowerError<E>>;

/// Objects that are created on grower threads, a bounded number of them, so that every getter is
/// always within reach of a put, a close and its deadline, and async getters are possible.
///
/// A thread is started when there is something to create, and ends when there is nothing left. If
/// all are busy, what is to be created waits for one, unless nobody needs it any more by then.
///
/// A creation that hangs costs its thread, its slot of the limit and one of the
/// [grows](crate::Builder::max_growing) that may be pending, and holds up nobody else who can be
/// served by a put or another creation. One that fails is the error of one waiter. One that panics
/// is [`GetError::Abandoned`](crate::GetError::Abandoned) for one waiter; neither costs a slot.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use pool::{Growers, Pool};
/// use std::fs::File;
///
/// // At most 8 files; at most 2 of them are being opened at once.
/// let files = Pool::from_factory(8, Growers::new(2, || File::open("Cargo.toml"))).build()?;
/// assert!(files.get()?.metadata()?.len() > 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Growers<T, E> {
    crew: Arc<Crew<T, E>>,
}

struct Crew<T, E> {
    create: Create<T, E>,
    most: usize,
    shift: Mutex<Shift<T, E>>,
}

struct Shift<T, E> {
    /// Invariant: empty, if there are no threads.
    jobs: VecDeque<Job<T, E>>,
    threads: usize,
}

impl<T: Send + 'static, E: Send + 'static> Growers<T, E> {
    /// Creates objects by `create`, on at most `threads` threads at once, at least one.
    pub fn new(threads: usize, create: impl Fn() -> Result<T, E> + Send + Sync + 'static) -> Self {
        let shift = Mutex::new(Shift { jobs: VecDeque::new(), threads: 0 });
        Self { crew: Arc::new(Crew { create: Box::new(create), most: threads.max(1), shift }) }
    }
}

impl<T: Send + 'static, E: Send + 'static> Crew<T, E> {
    /// Adds a job, and a thread for it if there may be another.
    fn add(self: &Arc<Self>, job: Job<T, E>) {
        let mut shift = self.shift.lock();
        shift.jobs.push_back(job);
        if shift.threads == self.most {
            return;
        }
        shift.threads += 1;
        drop(shift);
        let crew = self.clone();
        if let Err(error) = thread::spawn_named("pool-grower", move || crew.work()) {
            self.is_short_of_one(&error);
        }
    }

    /// A thread could not be started. Its job is for the others, if there are any.
    fn is_short_of_one(&self, error: &io::Error) {
        let mut shift = self.shift.lock();
        shift.threads -= 1;
        let jobs = if shift.threads == 0 { std::mem::take(&mut shift.jobs) } else { VecDeque::new() };
        drop(shift);
        for job in jobs {
            let error =
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            job.refuse(GrowerError::NoThread(error));
        }
    }

    /// What a grower thread does.
    fn work(&self) {
        while let Some(job) = self.next() {
            // What panics, `create` or somebody's waker, has been told by the panic hook; and a job
            // that is dropped is refused.
            let worked = catch_unwind(AssertUnwindSafe(|| {
                let created = as_nobody(&self.create);
                job.finish(created.map(Place::new).map_err(|error| GrowerError::Failed(error).into()));
            }));
            if let Err(panic) = worked {
                discard(panic);
            }
        }
    }

    /// The oldest job. If there is none, this thread ends.
    fn next(&self) -> Option<Job<T, E>> {
        let mut shift = self.shift.lock();
        let job = shift.jobs.pop_front();
        shift.threads -= usize::from(job.is_none());
        job
    }

    /// Takes a job out that was not begun.
    fn remove(&self, id: GrowId) -> Option<Job<T, E>> {
        let jobs = &mut self.shift.lock().jobs;
        let at = jobs.iter().position(|job| job.id() == id)?;
        jobs.remove(at)
    }
}

/// What a getter keeps of the job that it asked for, which goes on by itself. Dropped: nobody
/// needs it, so it need not begin.
struct Need<T: Send + 'static, E: Send + 'static> {
    crew: Arc<Crew<T, E>>,
    id: GrowId,
}

impl<T: Send, E: Send> Future for Need<T, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl<T: Send, E: Send> Drop for Need<T, E> {
    fn drop(&mut self) {
        if let Some(job) = self.crew.remove(self.id) {
            job.give_up();
        }
    }
}

object_factory!(Growers);

// SAFETY: each place is on the heap, and nobody else's until it is freed.
unsafe impl<T: Send + 'static, E: Send + 'static> Backend for Growers<T, E> {
    object_factory!(@backend GrowerError<E>);

    fn ask(&self, _: Layout, grow: Grow<Place<T>, GrowerError<E>>) -> Answer<Place<T>, GrowerError<E>> {
        let Ok(job) = grow.commit() else {
            return Answer::Withdrawn;
        };
        let id = job.id();
        self.crew.add(job);
        Answer::Driven(Work::new(Need { crew: self.crew.clone(), id }))
    }
}
