//! Both kinds of pools, as a script uses them.

use std::pin::Pin;
use std::ptr::NonNull;
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{AllocError, Arena};
use pool::{GetError, OwnedItem, Pool, PoolStats, PutError, RawPool, Request, Reservation, TryGetError};

use super::script::By;

/// An object that is counted.
pub(super) struct Object {
    alive: Arc<AtomicUsize>,
    /// Of its own: what is lent twice is seen.
    users: usize,
    _size: [u64; 2],
}

impl Object {
    pub(super) fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self { alive: alive.clone(), users: 0, _size: [0; 2] }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(self.users, 0, "somebody uses it");
        self.alive.fetch_sub(1, SeqCst);
    }
}

pub(super) enum Front {
    Raw(RawPool),
    Typed(Pool<Object>, Arc<AtomicUsize>),
}

/// What was got.
pub(super) enum Held {
    Item(NonNull<u8>),
    Object(OwnedItem<Object>),
    Reserved(Reservation<Object>),
}

impl Held {
    pub(super) fn items(&self) -> usize {
        match self {
            Self::Item(_) | Self::Object(_) => 1,
            Self::Reserved(reservation) => reservation.len(),
        }
    }

    /// Where it is, if that can be said.
    pub(super) fn address(&self) -> Option<usize> {
        match self {
            Self::Item(item) => Some(item.addr().get()),
            Self::Object(object) => Some(std::ptr::from_ref::<Object>(object).addr()),
            Self::Reserved(_) => None,
        }
    }

    fn of(mut object: OwnedItem<Object>) -> Self {
        object.users += 1;
        assert_eq!(object.users, 1, "lent twice");
        Self::Object(object)
    }
}

pub(super) type Got = Result<Vec<Held>, GetError<AllocError>>;
pub(super) type Tried = Result<Vec<Held>, TryGetError<AllocError>>;
pub(super) type Future = Pin<Box<dyn std::future::Future<Output = Got>>>;

/// How a request is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) is_critical: bool,
    /// It gives up at once.
    pub(super) is_late: bool,
}

impl Manner {
    fn of<P>(self, mut request: Request<'_, P>) -> Request<'_, P> {
        if self.is_critical {
            request = request.critical();
        }
        if self.is_late { request.timeout(Duration::ZERO) } else { request }
    }
}

macro_rules! both {
    ($front:expr, $pool:ident => $of:expr) => {
        match $front {
            Front::Raw($pool) => $of,
            Front::Typed($pool, _) => $of,
        }
    };
}

impl Front {
    pub(super) fn stats(&self) -> PoolStats {
        both!(self, pool => pool.stats())
    }

    pub(super) fn close(&self) {
        both!(self, pool => pool.close());
    }

    pub(super) fn drain(&self) -> usize {
        both!(self, pool => pool.drain())
    }

    pub(super) fn prime(&self, pages: u32) -> Result<u32, TryGetError<AllocError>> {
        both!(self, pool => pool.prime(pages))
    }

    pub(super) fn set_hard_limit(&self, pages: u32) -> Result<(), pool::ConfigError> {
        both!(self, pool => pool.set_hard_limit(pages))
    }

    pub(super) fn set_water(&self, low: u32, high: u32) -> Result<(), pool::ConfigError> {
        both!(self, pool => pool.set_water(low, high))
    }

    pub(super) fn set_critical_reserve(&self, items: u32) -> Result<(), pool::ConfigError> {
        both!(self, pool => pool.set_critical_reserve(items))
    }

    pub(super) fn arena(&self) -> &Arena {
        both!(self, pool => pool.backend())
    }

    /// How many objects are alive, where there are any.
    pub(super) fn alive(&self) -> Option<usize> {
        match self {
            Self::Raw(_) => None,
            Self::Typed(_, alive) => Some(alive.load(SeqCst)),
        }
    }

    pub(super) fn try_get(&self, manner: Manner) -> Tried {
        match self {
            Self::Raw(pool) => manner.of(pool.request()).try_get().map(|item| vec![Held::Item(item)]),
            Self::Typed(pool, _) => {
                manner.of(pool.request()).try_get_owned().map(|object| vec![Held::of(object)])
            }
        }
    }

    pub(super) fn try_reserve(&self, manner: Manner, items: usize) -> Option<Tried> {
        match self {
            Self::Raw(_) => None,
            Self::Typed(pool, _) => {
                let tried = manner.of(pool.request()).try_reserve(items);
                Some(tried.map(|reservation| vec![Held::Reserved(reservation)]))
            }
        }
    }

    /// Waits until there are so many.
    pub(super) fn get(&self, by: By, manner: Manner, items: usize) -> Got {
        match self {
            Self::Raw(pool) => match (by, items) {
                (By::Local, 1) => pool.local().get().map(|item| vec![Held::Item(item)]),
                (By::Pool, 1) => manner.of(pool.request()).get().map(|item| vec![Held::Item(item)]),
                (_, items) => {
                    let all = manner.of(pool.request()).get_many(items)?;
                    Ok(all.into_iter().map(Held::Item).collect())
                }
            },
            Self::Typed(pool, _) => match items {
                1 => manner.of(pool.request()).get_owned().map(|object| vec![Held::of(object)]),
                items => manner.of(pool.request()).reserve(items).map(|all| vec![Held::Reserved(all)]),
            },
        }
    }

    pub(super) fn get_async(&self, manner: Manner, items: usize) -> Future {
        match self {
            Self::Raw(pool) => {
                let pool = pool.clone();
                Box::pin(async move {
                    manner.of(pool.request()).get_async().await.map(|item| vec![Held::Item(item)])
                })
            }
            Self::Typed(pool, _) if items == 1 => {
                let future = manner.of(pool.request()).get_owned_async();
                Box::pin(async move { future.await.map(|object| vec![Held::of(object)]) })
            }
            Self::Typed(pool, _) => {
                let future = manner.of(pool.request()).reserve_async(items);
                Box::pin(async move { future.await.map(|all| vec![Held::Reserved(all)]) })
            }
        }
    }

    /// Puts back what was got of this pool.
    pub(super) fn put(&self, by: By, held: Held) {
        match (held, self) {
            (Held::Item(item), Self::Raw(pool)) => {
                Self::put_raw(by, item, pool).expect("it is out");
            }
            (Held::Object(mut object), _) => object.users -= 1,
            (Held::Reserved(reservation), _) => drop(reservation),
            (Held::Item(_), Self::Typed(..)) => unreachable!("it is of a pool of memory"),
        }
    }

    fn put_raw(by: By, item: NonNull<u8>, pool: &RawPool) -> Result<(), PutError> {
        match by {
            // SAFETY: nobody uses the memory here.
            By::Pool => unsafe { pool.put(item) },
            // SAFETY: as above.
            By::Local => unsafe { pool.local().put(item) },
        }
    }

    /// Puts what is no item that is out.
    pub(super) fn put_wrong(&self, address: usize) -> Option<Result<(), PutError>> {
        let item = NonNull::without_provenance(address.try_into().ok()?);
        match self {
            Self::Raw(pool) => Some(Self::put_raw(By::Pool, item, pool)),
            Self::Typed(..) => None,
        }
    }

    /// Destroys the object, and puts its place back.
    pub(super) fn discard(held: Held) -> Option<Held> {
        match held {
            Held::Object(mut object) => {
                object.users -= 1;
                OwnedItem::discard(object);
                None
            }
            Held::Reserved(mut reservation) => {
                let object = reservation.get();
                // What is left goes back.
                drop(reservation);
                object.map(Held::of)
            }
            item @ Held::Item(_) => Some(item),
        }
    }

    pub(super) fn attach(&self) -> Option<Result<(), TryGetError<AllocError>>> {
        match self {
            Self::Raw(_) => None,
            Self::Typed(pool, alive) => {
                // It goes back at once, and its object with it.
                Some(pool.attach(Object::new(alive)).map(drop).map_err(|error| error.error))
            }
        }
    }
}
