//! `object-pool`.

use std::future::ready;
use std::sync::Arc;

use object_pool::Pool;

use super::MAKES_ANOTHER;
use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{Get, Peer, Probed, Setup, Subject, thread};

pub(crate) const PEER: Peer = Peer {
    name: "object-pool",
    package: "object-pool",
    setup: "`new` with as many objects as the limit says, and `pull_owned`, which makes another if there is \
            none. The creator runs on the getter's thread.",
    lacks: MAKES_ANOTHER,
    build: |setup| Box::pin(ready(Ok(build(setup)))),
};

struct Pulled {
    pool: Arc<Pool<Object>>,
    maker: Maker,
}

fn build(setup: Setup) -> Subject {
    let maker = setup.maker;
    let pool = Arc::new(Pool::new(setup.limit, || maker.make().expect("creators here do not fail")));
    Arc::new(Pulled { pool, maker })
}

impl Probed for Pulled {
    fn get(&self) -> Get {
        let (pool, maker) = (self.pool.clone(), self.maker.clone());
        thread(move |_| {
            Ok::<_, Refused>(pool.pull_owned(|| maker.make().expect("creators here do not fail")))
        })
    }
}
