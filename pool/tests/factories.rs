//! Objects that a factory makes, with real threads: on the getter's own thread, on grower
//! threads, by futures.
#![cfg(not(loom))]

#[macro_use]
mod support;

use kva::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use pool::{AsyncFactory, Factory, Growers, Pool};

#[test]
fn smoke() {
    let n = Arc::new(AtomicUsize::new(0));
    let m = n.clone();
    let pool = Pool::from_factory(2, Factory::new(move || Ok::<_, String>(m.fetch_add(1, Relaxed))))
        .build()
        .unwrap();
    let a = pool.get().unwrap();
    let b = pool.get().unwrap();
    assert_eq!((*a, *b), (0, 1));
    drop(a);
    assert_eq!(*pool.get().unwrap(), 0);
    drop(b);
    assert_eq!(pool.drain(), 2);
    let m = n.clone();
    let pool = Pool::from_factory(2, Growers::new(1, move || Ok::<_, String>(m.fetch_add(1, Relaxed))))
        .validate(|n| *n > 2)
        .build()
        .unwrap();
    assert_eq!(*pool.get().unwrap(), 2);
    assert_eq!(*pool.get().unwrap(), 3);
    let m = n.clone();
    let pool = Pool::from_factory(
        2,
        AsyncFactory::new(move || std::future::ready(Ok::<_, String>(m.fetch_add(1, Relaxed)))),
    )
    .build()
    .unwrap();
    assert_eq!(*pool.get().unwrap(), 4);
    let both = pool.reserve(2).unwrap();
    assert_eq!(both.len(), 2);
}

#[test]
fn attach() {
    let pool = Pool::from_factory(2, Factory::new(|| Ok::<_, String>(0))).build().unwrap();
    drop(pool.get().unwrap());
    let seven = pool.attach(7).unwrap();
    assert_eq!((*seven, pool.stats().live, pool.stats().idle), (7, 2, 1));
    let eight = pool.attach(8).unwrap();
    assert_eq!((*eight, pool.stats().live), (8, 2));
    assert!(pool.attach(9).is_err());
    drop((seven, eight));
    assert_eq!(pool.drain(), 2);
}
