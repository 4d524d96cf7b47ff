//! Events of a pool's slow paths, and what a subscriber may do in them.

#![cfg(all(not(loom), feature = "tracing"))]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::thread;
use std::time::Duration;

use kva::sync::{Arc, Mutex};
use kva::{Arena, Region, Reserve, Shape};
use pool::{GetError, Pool, registered};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const QUANTUM: usize = 4096;

type Blocks = Pool<[u8; QUANTUM]>;

/// Notes what it is told, and looks at the pool each time: it hangs if a lock is held.
#[derive(Default)]
struct Notes {
    pool: Mutex<Option<Blocks>>,
    events: Mutex<Vec<(String, Fields)>>,
}

#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

/// Subscribers are the process's, so this is the only test here.
struct Listens(Arc<Notes>);

impl Subscriber for Listens {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pool"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        unreachable!("there are no spans")
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        assert_eq!(*event.metadata().level(), Level::DEBUG);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.iter().position(|(name, _)| *name == "message").unwrap();
        let (_, message) = fields.0.remove(message);
        self.0.events.lock().push((message, fields));
        let pool = self.0.pool.lock().clone();
        if let Some(pool) = pool {
            let _ = (pool.stats(), format!("{pool:?}"), pool.backend().stats());
        }
        let _ = registered();
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn events_arrive_and_a_subscriber_may_look_at_the_pool() {
    let notes = Arc::new(Notes::default());
    tracing::subscriber::set_global_default(Listens(notes.clone())).unwrap();
    let arena = Arena::new(Region::reserve(2 * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap();
    let pool = Pool::builder(2, || [0; QUANTUM]).name("that is heard").build(arena.clone()).unwrap();
    *notes.pool.lock() = Some(pool.clone());
    let heard = || {
        let events = std::mem::take(&mut *notes.events.lock());
        for (message, fields) in &events {
            let (name, pool) = &fields.0[0];
            assert_eq!((*name, &**pool), ("pool", "\"that is heard\""), "{message}");
        }
        let names = |fields: &Fields| fields.0.iter().skip(1).map(|(name, _)| *name).collect::<Vec<_>>();
        events.iter().map(|(message, fields)| (message.clone(), names(fields))).collect::<BTreeSet<_>>()
    };
    let said = |message: &str, fields: &[&'static str]| (message.to_owned(), fields.to_vec());

    let span = arena.try_alloc(Shape::new(1).unwrap()).unwrap();
    let item = pool.get().unwrap();
    assert_eq!(heard(), BTreeSet::from([said("asks for a page", &["grow"])]));
    drop(item);
    drop(pool.get().unwrap());
    assert_eq!(heard(), BTreeSet::new(), "nothing on the way that is fast");

    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| drop(pool.get().unwrap()));
        while arena.stats().waiting != 1 {
            thread::yield_now();
        }
        arena.free(span).unwrap();
        getter.join().unwrap();
    });
    let asked = said("asks for a page", &["grow"]);
    assert_eq!(heard(), BTreeSet::from([asked, said("a request for a page ended", &["grow", "delivered"])]));

    drop(item);
    assert_eq!(pool.drain(), 2);
    assert_eq!(heard(), BTreeSet::from([said("gave a page up", &["heir"])]));

    let items = pool.get_many(2).unwrap();
    heard();
    assert!(matches!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(_))));
    assert_eq!(heard(), BTreeSet::from([said("timed out", &["awaited"])]));

    pool.close();
    assert_eq!(heard(), BTreeSet::from([said("closed", &[])]));
    pool.close();
    assert_eq!(heard(), BTreeSet::new(), "closing twice is once");
    drop(items);
    *notes.pool.lock() = None;
}
