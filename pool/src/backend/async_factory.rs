//! Objects that are created by a future.

use std::alloc::Layout;
use std::future::pending;
use std::pin::{Pin, pin};

use kva::sync::Arc;
use kva::{Answer, Committed, Grow, Work};

use super::Backend;
use super::factory::{GivesUp, Place, object_factory};

type Begin<T, E> = Box<dyn Fn(Committed<Place<T>, E>) -> Work + Send + Sync>;

/// Objects that are created by futures, which whoever waits drives: no runtime is needed but the
/// one that the futures themselves need, and nothing is spawned.
///
/// A getter polls what it began beside its place in line, and takes what comes first: a put, its
/// own object or another's. If it is served or leaves, what it began goes on with the next who
/// needs it, or is dropped. The slot of the limit is free when it has been.
///
/// What is dropped begins anew with the next getter: those who would wait for less long than a
/// creation takes never get it done. [`spawned`](Self::spawned) has a remedy. And whoever waits
/// drives, also a thread that blocks in [`Pool::get`](crate::Pool::get): where the futures need the
/// context of a runtime, be within it or use `spawned`. A future must not wait for an object of its own
/// pool: its driver may leave with that one, and nobody else goes on with the future.
///
/// A future that panics is the panic of who drives it, and one that fails is the error of one
/// waiter. Neither costs a slot. A future that never ends holds a slot while somebody waits for
/// it, and holds up nobody whom a put or another creation can serve. It goes on as its driver is
/// polled; [`spawned`](Self::spawned), it goes on by itself.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use pool::{AsyncFactory, Pool};
/// use std::io;
///
/// async fn connect() -> io::Result<String> {
///     Ok("connected".to_owned())
/// }
///
/// async fn hello(pool: &Pool<String, AsyncFactory<String, io::Error>>) -> Result<(), Box<dyn std::error::Error>> {
///     let connection = pool.get_async().await?;
///     assert_eq!(*connection, "connected");
///     Ok(())
/// }
///
/// let pool = Pool::from_factory(8, AsyncFactory::new(connect)).build()?;
/// assert_eq!(*pool.get()?, "connected"); // a thread may wait, too
/// # let hello = hello(&pool);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncFactory<T, E> {
    begin: Begin<T, E>,
}

impl<T: Send + 'static, E: Send + 'static> AsyncFactory<T, E> {
    /// Creates objects by the futures that `create` returns. It is called when the future is
    /// first driven.
    pub fn new<F>(create: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let create = Arc::new(create);
        // A panic is that of who drives it, and nobody drops it but who needs it no more.
        let begin = move |committed| Work::new(creation(create.clone(), GivesUp::new(committed)));
        Self { begin: Box::new(begin) }
    }

    /// As [`new`](Self::new), in tasks of a runtime: `spawn` begins one and returns what stops it
    /// when dropped, soon. So a creation goes on by itself, whether or not anybody polls, and one
    /// that panics, or is dropped by its runtime, is
    /// [`GetError::Abandoned`](crate::GetError::Abandoned) for one waiter.
    ///
    /// If what `spawn` returns stops nothing, an object that nobody needs any more is made all the
    /// same, and kept for the next as far as high water allows. Until it is made, or fails, it has
    /// its slot of the limit, and nobody counts on it: so see to it that it ends.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use pool::{AsyncFactory, Pool};
    /// use std::convert::Infallible;
    ///
    /// # struct Runtime;
    /// # impl Runtime {
    /// #     fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
    /// #         std::thread::spawn(move || kva::sync::block_on_future(work));
    /// #     }
    /// # }
    /// # let runtime = Runtime;
    /// let factory = AsyncFactory::spawned(
    ///     async || Ok::<_, Infallible>("connected"),
    ///     // tokio's handle stops nothing when dropped, smol's `Task` does.
    ///     move |work| runtime.spawn(work),
    /// );
    /// let pool = Pool::from_factory(8, factory).build()?;
    /// assert_eq!(*pool.get()?, "connected");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawned<F, S>(
        create: impl Fn() -> F + Send + Sync + 'static,
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> S + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        S: Send + 'static,
    {
        let create = Arc::new(create);
        // A task that panics, or that its runtime drops, is refused: one waiter is told.
        let begin = move |committed: Committed<_, _>| {
            let task = spawn(Box::pin(creation(create.clone(), committed)));
            Work::new(async move {
                let _until_nobody_needs_it = task;
                pending::<()>().await;
            })
        };
        Self { begin: Box::new(begin) }
    }
}

/// One creation, which ends its request.
async fn creation<T, E, F: Future<Output = Result<T, E>>>(
    create: Arc<impl Fn() -> F>,
    // Dropped after the future, so that the slot is free when nothing is left of it.
    request: impl Into<Committed<Place<T>, E>>,
) {
    let created;
    {
        let future = pin!(create());
        // Before the future is dropped: if that panics, what it made is dropped too, and not lost.
        created = future.await;
    }
    request.into().finish(created.map(Place::new).map_err(Into::into));
}

object_factory!(AsyncFactory);

// SAFETY: each place is on the heap, and nobody else's until it is freed.
unsafe impl<T: Send + 'static, E: Send + 'static> Backend for AsyncFactory<T, E> {
    object_factory!(@backend E);

    fn ask(&self, _: Layout, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E> {
        match grow.commit() {
            Ok(committed) => Answer::Driven((self.begin)(committed)),
            Err(_withdrawn) => Answer::Withdrawn,
        }
    }
}
