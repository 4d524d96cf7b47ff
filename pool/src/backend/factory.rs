//! Factories: back-ends that make an object for each request, connections, files, compilers. A
//! page is one place on the heap, which comes with its object.
//!
//! What sets them apart from an arena: a page that is given up comes back to nobody; and what
//! was begun takes its place in the world until it has ended, so a factory commits to a request
//! before it begins ([`kva::grow`]), and the slot of the ledger is free only when nothing is
//! left of the object or of the attempt (P1).

use std::alloc::Layout;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use kva::{Answer, Committed, Grow};

use super::Backend;

/// A back-end that makes objects: [`Factory`], [`Growers`](crate::Growers) or
/// [`AsyncFactory`](crate::AsyncFactory), what [`Pool::from_factory`](crate::Pool::from_factory)
/// takes.
///
/// # Safety
/// [`CREATES`](Backend::CREATES) is true, and at the [base](Backend::base) of each page that is
/// delivered is an `Object`, which is the pool's from then on.
pub unsafe trait ObjectFactory: Backend {
    /// What it makes.
    type Object: Send + 'static;
}

/// A place on the heap for an object: the page of a factory. Its memory is freed by
/// [`Backend::release`] only, when the pool has taken the object out.
pub struct Place<T>(NonNull<Memory<T>>);

/// Not of size zero, whatever `T` is: a place is known by its address.
#[repr(C)]
struct Memory<T> {
    object: MaybeUninit<T>,
    _address: u8,
}

// SAFETY: a place owns its object.
unsafe impl<T: Send> Send for Place<T> {}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", self.0)
    }
}

impl<T> Place<T> {
    /// What a factory's items are.
    pub(crate) const LAYOUT: Layout = Layout::new::<Memory<T>>();

    /// A place for `object`.
    pub fn new(object: T) -> Self {
        Self::of(MaybeUninit::new(object))
    }

    /// A place with no object in it.
    pub fn empty() -> Self {
        Self::of(MaybeUninit::uninit())
    }

    fn of(object: MaybeUninit<T>) -> Self {
        let memory = Box::new(Memory { object, _address: 0 });
        Self(NonNull::from(Box::leak(memory)))
    }

    /// Where the object is.
    pub const fn base(&self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Frees the memory. The object is not dropped: the pool has taken it out.
    pub fn free(self) {
        // SAFETY: it was a box (`new`), and is used up.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Ends a request without a page when dropped, unless it was taken out: nobody is to be told,
/// since nobody needs it any more, or whoever drives it has a panic.
pub(super) struct GivesUp<P, E>(Option<Committed<P, E>>);

impl<P, E> GivesUp<P, E> {
    pub(super) const fn new(committed: Committed<P, E>) -> Self {
        Self(Some(committed))
    }
}

impl<P, E> From<GivesUp<P, E>> for Committed<P, E> {
    fn from(mut gives_up: GivesUp<P, E>) -> Self {
        gives_up.0.take().expect("taken once")
    }
}

impl<P, E> Drop for GivesUp<P, E> {
    fn drop(&mut self) {
        if let Some(committed) = self.0.take() {
            committed.give_up();
        }
    }
}

/// What every factory says in the same words.
macro_rules! object_factory {
    ($factory:ident) => {
        // SAFETY: `ask` delivers places, which come with their object.
        unsafe impl<T: Send + 'static, E: Send + 'static> crate::ObjectFactory for $factory<T, E> {
            type Object = T;
        }

        impl<T, E> std::fmt::Debug for $factory<T, E> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($factory)).finish_non_exhaustive()
            }
        }
    };
    (@backend $error:ty) => {
        type Page = $crate::Place<T>;
        type Error = $error;

        const CREATES: bool = true;

        fn granule(&self) -> Option<usize> {
            Some(1)
        }

        /// Never: what can be made right now is not known before it is.
        fn try_page(&self, _: std::alloc::Layout) -> Result<Option<$crate::Place<T>>, $error> {
            Ok(None)
        }

        fn empty_page(&self) -> Option<$crate::Place<T>> {
            Some($crate::Place::empty())
        }

        fn release(&self, page: $crate::Place<T>, _: std::alloc::Layout) {
            page.free();
        }

        fn base(&self, page: &$crate::Place<T>) -> std::ptr::NonNull<u8> {
            page.base()
        }
    };
}
pub(super) use object_factory;

pub(super) type Create<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;

/// Objects that are created on the getter's own thread.
///
/// While it creates, no put, no close and no deadline reaches that getter: only what `create`
/// itself keeps to ends it. Everybody else is served. [`Growers`](crate::Growers) or
/// [`AsyncFactory`](crate::AsyncFactory) keep each getter within reach. There are no async
/// getters: they would block the executor.
///
/// A `create` that panics is its getter's panic, and one that fails is its error. Neither costs
/// a slot of the limit.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use pool::{Factory, Pool};
/// use std::fs::File;
///
/// let files = Pool::from_factory(8, Factory::new(|| File::open("Cargo.toml"))).build()?;
/// let file = files.get()?;
/// assert!(file.metadata()?.len() > 0);
/// assert_eq!(files.stats().live, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Factory<T, E> {
    create: Create<T, E>,
}

impl<T, E> Factory<T, E> {
    /// Creates objects by `create`.
    pub fn new(create: impl Fn() -> Result<T, E> + Send + Sync + 'static) -> Self {
        Self { create: Box::new(create) }
    }
}

object_factory!(Factory);

// SAFETY: each place is on the heap, and nobody else's until it is freed.
unsafe impl<T: Send + 'static, E: Send + 'static> Backend for Factory<T, E> {
    object_factory!(@backend E);

    const SLEEPS: bool = true;

    fn ask(&self, _: Layout, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E> {
        let Ok(committed) = grow.commit() else {
            return Answer::Withdrawn;
        };
        // A panic is the getter's, who knows.
        let gives_up = GivesUp::new(committed);
        let created = (self.create)();
        Answer::Now(gives_up.into(), created.map(Place::new))
    }
}
