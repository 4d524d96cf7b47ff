//! `fast_pool`.

use std::future::ready;
use std::sync::Arc;

use fast_pool::{Manager, Pool};

use super::AN_HOUR;
use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{BoxFuture, Get, Need, Peer, Probed, Setup, Subject, task};

pub(crate) const PEER: Peer = Peer {
    name: "fast_pool",
    package: "fast_pool",
    setup: "`set_max_open`; `set_max_idle_conns` as high, or 5 where that is asked for; `timeout_wait` of an \
            hour, since without one it times out at once. The creator is part of the getter's future.",
    lacks: &[
        (Need::Close, "no close: a pool lives as long as a handle, and a waiter has one"),
        (Need::CreatesBound, "no setting for how many creates there may be at once"),
    ],
    build: |setup| Box::pin(ready(Ok(build(setup)))),
};

struct Creator(Maker);

impl Manager for Creator {
    type Connection = Object;
    type Error = Refused;

    async fn connect(&self) -> Result<Object, Refused> {
        self.0.clone().make_async().await
    }

    async fn check(&self, _: &mut Object) -> Result<(), Refused> {
        Ok(())
    }
}

fn build(setup: Setup) -> Subject {
    let pool = Pool::new(Creator(setup.maker));
    pool.set_max_open(setup.limit as u64);
    pool.set_max_idle_conns(setup.keep as u64);
    pool.set_timeout_wait(Some(AN_HOUR));
    Arc::new(pool)
}

impl Probed for Pool<Creator> {
    fn get(&self) -> Get {
        let pool = self.clone();
        task(async move { Pool::get(&pool).await })
    }

    fn resize(&self, limit: usize) -> BoxFuture<()> {
        self.set_max_open(limit as u64);
        Box::pin(ready(()))
    }
}
