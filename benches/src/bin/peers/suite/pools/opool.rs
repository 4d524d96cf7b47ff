//! `opool`.

use std::future::ready;
use std::sync::Arc;

use opool::{Pool, PoolAllocator};

use super::MAKES_ANOTHER;
use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{Get, Peer, Probed, Setup, Subject, thread};

pub(crate) const PEER: Peer = Peer {
    name: "opool",
    package: "opool",
    setup: "`Pool::new` with room for as many objects as the limit says, and `get_rc`, which makes another if \
            there is none. The creator runs on the getter's thread.",
    lacks: MAKES_ANOTHER,
    build: |setup| Box::pin(ready(Ok(build(setup)))),
};

struct Creator(Maker);

impl PoolAllocator<Object> for Creator {
    fn allocate(&self) -> Object {
        self.0.make().expect("creators here do not fail")
    }
}

struct Shared(Arc<Pool<Creator, Object>>);

fn build(setup: Setup) -> Subject {
    Arc::new(Shared(Pool::new(setup.limit, Creator(setup.maker)).to_rc()))
}

impl Probed for Shared {
    fn get(&self) -> Get {
        let pool = self.0.clone();
        thread(move |_| Ok::<_, Refused>(pool.get_rc()))
    }
}
