//! Clients: who holds, and who waits.
//!
//! A client says that it keeps what it gets: what is got while it is entered, on its thread, is put
//! by that thread, and by nobody else before. Only then is what it holds known to be held while it
//! sleeps, and [deadlocks](super::deadlock) can be told from things that are elsewhere by now.
//!
//! ```
//! # if kva::sync::IS_MODEL { return Ok(()) }
//! use kva::{Arena, Region, Shape, client};
//!
//! let arena = Arena::new(Region::numbers(8), 1)?;
//! let _loader = client::enter("loader");
//! let span = arena.alloc(Shape::new(4)?)?; // the loader's, in builds that track who holds what
//! arena.free(span)?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Where it is not so, enter none: around what is sent to other threads, frozen into buffers, or kept
//! in futures, which are polled anywhere. What futures get is nobody's in any case, and so is what
//! is got to make an object of a pool.
//!
//! In builds without debug assertions none of this does anything.

use std::marker::PhantomData;

use super::chosen;

/// A client that is entered. Dropping it leaves: what it still holds is nobody's then, and what is
/// got is that client's again that it was entered inside of.
///
/// ```
/// use kva::client;
///
/// let request = client::enter("request");
/// {
///     let _parser = client::enter("parser"); // a part of it: while it sleeps, so does the request
/// }
/// drop(request);
/// ```
#[derive(Debug)]
#[must_use = "a client is left when this is dropped"]
pub struct Scope(
    #[allow(dead_code, reason = "dropped for its effect")] chosen::Entered,
    PhantomData<*mut ()>,
);

/// Enters a client of this name, on the calling thread. Not to be held across an `.await`.
///
/// ```
/// let _client = kva::client::enter("page daemon");
/// ```
pub fn enter(name: &str) -> Scope {
    Scope(chosen::enter(Some(name)), PhantomData)
}

/// Enters a client of the calling thread's name.
///
/// ```
/// std::thread::spawn(|| {
///     let _client = kva::client::thread(); // what this thread gets, it keeps until it puts it
/// });
/// ```
pub fn thread() -> Scope {
    Scope(chosen::enter(None), PhantomData)
}

/// From now on each thread of the process that is in no client is one itself, from its next get on: for
/// programs, and tests, in which nothing is put elsewhere than where it was got. There is no way back.
///
/// Not beside an executor, whose tasks take what they hold from one thread to another.
///
/// ```
/// kva::client::each_thread(); // first thing in `main`
/// ```
pub fn each_thread() {
    chosen::each_thread();
}
