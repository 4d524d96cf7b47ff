//! Guards: an object that is out, and goes back when it is dropped.

use std::mem::ManuallyDrop;

use kva::Arena;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::loan::Round;
use crate::object::Shelf;

/// An object that is out of its [`Pool`](crate::Pool). Dropping it puts it back, and panics if
/// the pool's reset or a destructor does; nothing is lost then but the object that panicked.
///
/// Passes on what can be asked of a `T`. What can be done to the guard itself are associated
/// functions, so that they hide nothing of `T`'s.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Item, Pool};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(2, String::new).build(arena)?;
/// let mut item: Item<'_, String> = pool.get()?;
/// item.push_str("kept as it is, unless the pool resets");
/// drop(item);
/// assert_eq!(pool.get()?.len(), 37);
/// let taken: String = Item::detach(pool.get()?); // its place goes back empty
/// assert_eq!((pool.stats().out, pool.stats().live), (0, 0));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an item goes back to its pool when it is dropped"]
pub struct Item<'p, T, B: Backend = Arena> {
    shelf: &'p Arc<Shelf<T, B>>,
    round: Round,
}

/// An object that is out of its [`Pool`](crate::Pool), with a guard that borrows nothing: it
/// may outlive the pool's handles. Dropping it puts the object back, or destroys it if the
/// pool is closed.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{OwnedItem, Pool};
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(2, || [0_u8; 64]).build(arena)?;
/// let mut item: OwnedItem<[u8; 64]> = pool.get_owned()?;
/// std::thread::spawn(move || item[0] = 1).join().unwrap();
/// assert_eq!(pool.get()?[0], 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an item goes back to its pool when it is dropped"]
pub struct OwnedItem<T, B: Backend = Arena> {
    shelf: Arc<Shelf<T, B>>,
    round: Round,
}

impl<'p, T, B: Backend> Item<'p, T, B> {
    pub(crate) const fn new(shelf: &'p Arc<Shelf<T, B>>, round: Round) -> Self {
        Self { shelf, round }
    }

    /// Takes the object out of the pool's hands. Its place goes back, empty, and the pool will
    /// construct another when it needs one.
    pub fn detach(this: Self) -> T {
        let this = ManuallyDrop::new(this);
        this.shelf.take(this.round)
    }

    /// Destroys the object, a connection that broke, instead of putting it back. Its place
    /// goes back, empty.
    ///
    /// # Panics
    /// If the object's destructor does; its place goes back all the same.
    pub fn discard(this: Self) {
        let this = ManuallyDrop::new(this);
        this.shelf.discard(this.round);
    }

    /// Never puts the object back: it stays out, and its page with the pool, for ever. The
    /// pool counts it as [`leaked`](crate::PoolStats::leaked).
    pub fn leak(this: Self) -> &'p mut T {
        let this = ManuallyDrop::new(this);
        this.shelf.core.leak(this.round);
        // SAFETY: the object is ours alone and stays where it is, since nobody puts it. The
        // pool, and with it the back-end, is there as long as 'p.
        unsafe { this.round.ptr.cast::<T>().as_mut() }
    }
}

impl<T, B: Backend> OwnedItem<T, B> {
    pub(crate) const fn new(shelf: Arc<Shelf<T, B>>, round: Round) -> Self {
        Self { shelf, round }
    }

    /// The item and what it is of, which the caller now has to put.
    fn into_parts(self) -> (Arc<Shelf<T, B>>, Round) {
        let this = ManuallyDrop::new(self);
        // SAFETY: read once, and not dropped.
        (unsafe { std::ptr::read(&raw const this.shelf) }, this.round)
    }

    /// As [`Item::detach`].
    pub fn detach(this: Self) -> T {
        let (shelf, round) = this.into_parts();
        shelf.take(round)
    }

    /// As [`Item::discard`].
    ///
    /// # Panics
    /// If the object's destructor does; its place goes back all the same.
    pub fn discard(this: Self) {
        let (shelf, round) = this.into_parts();
        shelf.discard(round);
    }

    /// As [`Item::leak`]; the pool's insides and its back-end are never dropped.
    pub fn leak(this: Self) -> &'static mut T
    where
        T: 'static,
    {
        let (shelf, round) = this.into_parts();
        shelf.core.leak(round);
        std::mem::forget(shelf);
        // SAFETY: the object is ours alone and stays where it is, since nobody puts it; and the
        // back-end is kept, since what holds it was forgotten.
        unsafe { round.ptr.cast::<T>().as_mut() }
    }
}

/// What both guards are, that may go to another thread.
macro_rules! guard_of_any_thread {
    ($guard:ident $(, $lifetime:lifetime)?) => {
        // SAFETY: a guard is the exclusive use of its `T`, and shares its pool, which is `Sync`.
        unsafe impl<T: Send, B: Backend> Send for $guard<$($lifetime,)? T, B> {}
        // SAFETY: a shared guard gives out shared references to its `T`, and nothing else.
        unsafe impl<T: Sync, B: Backend> Sync for $guard<$($lifetime,)? T, B> {}

        impl<T, B: Backend> Drop for $guard<$($lifetime,)? T, B> {
            #[inline]
            fn drop(&mut self) {
                self.shelf.put(self.round);
            }
        }

        guard!($guard $(, $lifetime)?);
    };
}

/// What all guards are.
macro_rules! guard {
    ($guard:ident $(, $lifetime:lifetime)?) => {
        impl<T, B: Backend> std::ops::Deref for $guard<$($lifetime,)? T, B> {
            type Target = T;
            fn deref(&self) -> &T {
                // SAFETY: there is a `T` in the item, which is ours alone until it is put.
                unsafe { self.round.ptr.cast::<T>().as_ref() }
            }
        }

        impl<T, B: Backend> std::ops::DerefMut for $guard<$($lifetime,)? T, B> {
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: as in `deref`.
                unsafe { self.round.ptr.cast::<T>().as_mut() }
            }
        }

        impl<T, B: Backend> AsRef<T> for $guard<$($lifetime,)? T, B> {
            fn as_ref(&self) -> &T {
                self
            }
        }

        impl<T, B: Backend> AsMut<T> for $guard<$($lifetime,)? T, B> {
            fn as_mut(&mut self) -> &mut T {
                self
            }
        }

        impl<T, B: Backend> std::borrow::Borrow<T> for $guard<$($lifetime,)? T, B> {
            fn borrow(&self) -> &T {
                self
            }
        }

        impl<T, B: Backend> std::borrow::BorrowMut<T> for $guard<$($lifetime,)? T, B> {
            fn borrow_mut(&mut self) -> &mut T {
                self
            }
        }

        impl<T: std::fmt::Debug, B: Backend> std::fmt::Debug for $guard<$($lifetime,)? T, B> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: std::fmt::Display, B: Backend> std::fmt::Display for $guard<$($lifetime,)? T, B> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: PartialEq, B: Backend> PartialEq for $guard<$($lifetime,)? T, B> {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<T: Eq, B: Backend> Eq for $guard<$($lifetime,)? T, B> {}

        impl<T: PartialOrd, B: Backend> PartialOrd for $guard<$($lifetime,)? T, B> {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (**self).partial_cmp(&**other)
            }
        }

        impl<T: Ord, B: Backend> Ord for $guard<$($lifetime,)? T, B> {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<T: std::hash::Hash, B: Backend> std::hash::Hash for $guard<$($lifetime,)? T, B> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }
    };
}

pub(crate) use guard;

guard_of_any_thread!(Item, '_);
guard_of_any_thread!(OwnedItem);
