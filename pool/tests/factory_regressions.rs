//! Corners of factories that were wrong once: each test failed before what it is about was mended.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::ptr::NonNull;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{Answer, Grow, Work};
use pool::{AsyncFactory, Backend, Factory, GetError, Growers, ObjectFactory, Place, Pool, TryGetError};

#[macro_use]
mod support;

use support::{poll_once as poll, until};

/// Of which the first `hang` never end.
fn hanging(hang: usize) -> AsyncFactory<usize, Infallible> {
    let begun = AtomicUsize::new(0);
    AsyncFactory::new(move || {
        let number = begun.fetch_add(1, SeqCst);
        async move {
            if number < hang {
                pending::<()>().await;
            }
            Ok(number)
        }
    })
}

/// The getter asked again at once, and was dropped again, for ever.
#[test]
fn a_runtime_that_is_gone_drops_what_it_is_given() {
    let factory = AsyncFactory::spawned(async || Ok::<_, Infallible>(7), drop);
    let pool = Pool::from_factory(2, factory).build().unwrap();
    assert_is!(pool.get(), Err(GetError::Abandoned));
    assert_eq!((pool.stats().grows, pool.stats().growing), (1, 0));
}

/// It left as it was told to look for it. The object was taken for as good as new ever after.
#[test]
fn what_nobody_looked_for_is_validated() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let growers = {
        let gate = gate.clone();
        Growers::new(1, move || {
            drop(gate.lock());
            Ok::<_, Infallible>(1)
        })
    };
    let validations = Arc::new(AtomicUsize::new(0));
    let pool = {
        let validations = validations.clone();
        Pool::from_factory(1, growers).validate(move |_| validations.fetch_add(1, SeqCst) < 10)
    };
    let pool = pool.build().unwrap();
    let mut leaves = Box::pin(pool.get_async());
    assert!(poll(leaves.as_mut()).is_pending());
    drop(closed);
    until(|| pool.stats().idle == 1);
    drop(leaves);
    drop(pool.try_get().unwrap());
    assert_eq!(validations.load(SeqCst), 1);
}

/// The younger one's went to the older, whose own hung and was left to the younger.
#[test]
fn a_creation_that_hangs_is_not_left_to_one_who_brought_an_object() {
    let pool = Pool::from_factory(10, hanging(1)).build().unwrap();
    let mut hangs = Box::pin(pool.get_async());
    let mut brings = Box::pin(pool.get_async());
    assert!(poll(hangs.as_mut()).is_pending());
    let Poll::Ready(Ok(item)) = poll(brings.as_mut()) else { panic!("it brought one") };
    assert_eq!((*item, pool.stats().most_overtaken), (1, 1));
    drop(item);
    assert_is!(poll(hangs.as_mut()), Poll::Ready(Ok(item)) if *item == 1, "and a put serves the other");
}

/// All that there may be hang, and one getter after another gives up waiting.
#[test]
fn creations_that_hang_are_not_handed_on_for_ever() {
    let pool = Pool::from_factory(2, hanging(2)).build().unwrap();
    let mut line: Vec<_> = (0..3).map(|_| Box::pin(pool.get_async())).collect();
    let mut given_up = 0;
    loop {
        if line.iter_mut().any(|getter| poll(getter.as_mut()).is_ready()) {
            break;
        }
        given_up += 1;
        assert!(given_up < 10, "nobody is served");
        drop(line.remove(0));
        line.push(Box::pin(pool.get_async()));
    }
}

/// Whoever was lent a bad object began to count anew how often it was overtaken (P4).
#[test]
fn who_was_lent_a_bad_object_is_overtaken_no_more() {
    let bad = Arc::new(AtomicUsize::new(usize::MAX));
    let pool = {
        let bad = bad.clone();
        let begun = AtomicUsize::new(0);
        let two = AsyncFactory::new(move || {
            let number = begun.fetch_add(1, SeqCst);
            async move {
                if number >= 2 {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(number)
            }
        });
        Pool::from_factory(2, two).bypass(1).validate(move |number| bad.load(SeqCst) != *number)
    };
    let pool = pool.build().unwrap();
    let (first, second) = (pool.get_owned().unwrap(), pool.get_owned().unwrap());
    let mut getter = Box::pin(pool.get_async());
    assert!(poll(getter.as_mut()).is_pending());
    drop(first);
    let overtakes = pool.try_get().unwrap();
    bad.store(0, SeqCst);
    drop(overtakes);
    assert!(poll(getter.as_mut()).is_pending(), "it was bad, and another is never made");
    drop(second);
    assert_is!(pool.try_get().map(drop), Err(TryGetError::Exhausted));
    assert_is!(poll(getter.as_mut()), Poll::Ready(Ok(item)) if *item == 1);
    assert_eq!((pool.stats().most_overtaken, pool.stats().invalid), (1, 1));
}

/// Looks at the pool when it is dropped, which must not be under its lock (P8).
struct Looks(Slot);

type Slot = Arc<Mutex<Option<Pool<u32, Uncommitted>>>>;

impl Drop for Looks {
    fn drop(&mut self) {
        let pool = self.0.lock().clone();
        drop(pool.map(|pool| pool.stats()));
    }
}

/// Hands its work out before it commits.
struct Uncommitted(Slot);

// SAFETY: it delivers nothing.
unsafe impl ObjectFactory for Uncommitted {
    type Object = u32;
}

// SAFETY: as above.
unsafe impl Backend for Uncommitted {
    type Page = Place<u32>;
    type Error = Infallible;

    const CREATES: bool = true;

    fn granule(&self) -> Option<usize> {
        Some(1)
    }
    fn ask(&self, _: Layout, grow: Grow<Place<u32>, Infallible>) -> Answer<Place<u32>, Infallible> {
        let looks = Looks(self.0.clone());
        Answer::Driven(Work::new(async move {
            let _looks = looks;
            pending::<()>().await;
            drop(grow);
        }))
    }
    fn try_page(&self, _: Layout) -> Result<Option<Place<u32>>, Infallible> {
        Ok(None)
    }
    fn empty_page(&self) -> Option<Place<u32>> {
        Some(Place::empty())
    }
    fn release(&self, page: Place<u32>, _: Layout) {
        page.free();
    }
    fn base(&self, page: &Place<u32>) -> NonNull<u8> {
        page.base()
    }
}

#[test]
fn what_is_withdrawn_while_nobody_drives_it_is_dropped_unlocked() {
    let slot = Slot::default();
    let pool = Pool::from_factory(2, Uncommitted(slot.clone())).build().unwrap();
    *slot.lock() = Some(pool.clone());
    let held = pool.attach(1).unwrap();
    let mut leaves = Box::pin(pool.get_async());
    let mut stays = Box::pin(pool.get_async());
    assert!(poll(leaves.as_mut()).is_pending());
    assert!(poll(stays.as_mut()).is_pending());
    drop(leaves); // the other is to go on with it, but does not look
    drop(held);
    drop(stays);
    assert_eq!(pool.stats().growing, 0);
    *slot.lock() = None;
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the destructor panics");
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the waker panics");
    }
}

/// The process ended.
#[test]
fn a_waker_and_a_creation_that_panic() {
    let factory = AsyncFactory::new(|| async {
        let _bomb = Bomb;
        pending::<()>().await;
        Ok::<_, Infallible>(0)
    });
    let pool = Pool::from_factory(2, factory).build().unwrap();
    let mut drives = Box::pin(pool.request().reserve_async(2));
    assert!(poll(drives.as_mut()).is_pending());
    let mut waits = Box::pin(pool.get_async());
    let waker = Waker::from(Arc::new(Panics));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(drives))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waits))).is_err());
    assert_eq!((pool.stats().growing, pool.stats().waiting), (0, 0));
}

/// The thread ended, and was counted on ever after.
#[test]
fn a_panic_whose_payload_panics_costs_no_grower_thread() {
    let begun = AtomicUsize::new(0);
    let growers = Growers::new(1, move || {
        if begun.fetch_add(1, SeqCst) == 0 {
            panic_any(Bomb);
        }
        Ok::<_, Infallible>(1)
    });
    let pool = Pool::from_factory(1, growers).build().unwrap();
    assert_is!(pool.get(), Err(GetError::Abandoned));
    assert_eq!(*pool.get().unwrap(), 1);
}

#[test]
fn who_would_not_wait_asks_for_nothing() {
    let pool = Pool::from_factory(1, Factory::new(|| Ok::<_, Infallible>(1))).build().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Scarce));
    assert_eq!((pool.stats().grows, pool.stats().failures.scarce), (0, 1));
}
