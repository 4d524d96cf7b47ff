//! `lockfree-object-pool`, the linear one: of the three that it has, the one without a lock.

use std::future::ready;
use std::sync::Arc;

use lockfree_object_pool::LinearObjectPool;

use super::MAKES_ANOTHER;
use crate::suite::census::{Object, Refused};
use crate::suite::subject::{Get, Peer, Probed, Setup, Subject, thread};

pub(crate) const PEER: Peer = Peer {
    name: "lockfree-object-pool",
    package: "lockfree-object-pool",
    setup: "`LinearObjectPool` and `pull_owned`. It makes 32 objects at the start and 32 more whenever there is \
            none, on the getter's thread.",
    lacks: MAKES_ANOTHER,
    build: |setup| Box::pin(ready(Ok(build(setup)))),
};

struct Linear(Arc<LinearObjectPool<Object>>);

fn build(setup: Setup) -> Subject {
    let maker = setup.maker;
    let init = move || maker.make().expect("creators here do not fail");
    Arc::new(Linear(Arc::new(LinearObjectPool::new(init, |_| ()))))
}

impl Probed for Linear {
    fn get(&self) -> Get {
        let pool = self.0.clone();
        thread(move |_| Ok::<_, Refused>(pool.pull_owned()))
    }
}
