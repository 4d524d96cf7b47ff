//! `sharded_slab::Pool`.

use std::future::ready;
use std::sync::Arc;

use kva::sync::GlobalMutex;
use sharded_slab::Clear;
use sharded_slab::pool::{OwnedRefMut, Pool};

use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{Get, Need, Peer, Probed, Setup, Subject, thread};

pub(crate) const PEER: Peer = Peer {
    name: "sharded-slab",
    package: "sharded-slab",
    setup: "`Pool::new` and `create_owned`; the key is cleared after the guard is dropped, which puts the object \
            back. `Default` is the creator; it runs on the getter's thread, for a page of 32 objects at first.",
    lacks: &[
        (Need::Limit, "no limit on the pool: each thread's shard has one of its own, in pages"),
        (Need::Waiting, "no waiting: a get that finds its shard full says so"),
        (Need::FallibleCreator, "the creator cannot fail"),
    ],
    build: |setup| Box::pin(ready(Ok(build(setup)))),
};

/// What [`Default`] makes objects with. A process has one pool at a time.
static MAKER: GlobalMutex<Option<Maker>> = GlobalMutex::new(None);

struct Slot {
    _object: Object,
}

impl Default for Slot {
    fn default() -> Self {
        let maker = MAKER.with(|maker| maker.clone()).expect("a pool has been built");
        Self { _object: maker.make().expect("creators here do not fail") }
    }
}

impl Clear for Slot {
    fn clear(&mut self) {}
}

struct Slab(Arc<Pool<Slot>>);

/// A guard that puts its object back, as the others' do.
struct Lent {
    guard: Option<OwnedRefMut<Slot>>,
    pool: Arc<Pool<Slot>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            let key = guard.key();
            // While the guard of who created it is there, clearing has no effect.
            drop(guard);
            self.pool.clear(key);
        }
    }
}

fn build(setup: Setup) -> Subject {
    MAKER.with(|maker| *maker = Some(setup.maker));
    Arc::new(Slab(Arc::new(Pool::new())))
}

impl Probed for Slab {
    fn get(&self) -> Get {
        let pool = self.0.clone();
        thread(move |_| match pool.clone().create_owned() {
            Some(guard) => Ok(Lent { guard: Some(guard), pool }),
            None => Err(Refused::from("the shard is full")),
        })
    }
}
