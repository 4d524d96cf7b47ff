//! `mobc`.

use std::sync::Arc;

use mobc::{Manager, Pool, async_trait};

use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{BoxFuture, Get, Need, Peer, Probed, Setup, Subject, task};

pub(crate) const PEER: Peer = Peer {
    name: "mobc",
    package: "mobc",
    setup: "`max_open`; `max_idle` as high, or 5 where that is asked for; no `get_timeout`. The creator is part \
            of the getter's future.",
    lacks: &[
        (Need::Close, "no close: a pool lives as long as a handle, and a waiter has one"),
        (Need::CreatesBound, "no setting for how many creates there may be at once"),
    ],
    build: |setup| Box::pin(std::future::ready(Ok(build(setup)))),
};

struct Creator(Maker);

#[async_trait]
impl Manager for Creator {
    type Connection = Object;
    type Error = Refused;

    async fn connect(&self) -> Result<Object, Refused> {
        self.0.clone().make_async().await
    }

    async fn check(&self, object: Object) -> Result<Object, Refused> {
        Ok(object)
    }
}

fn build(setup: Setup) -> Subject {
    let pool = Pool::builder()
        .max_open(setup.limit as u64)
        .max_idle(setup.keep as u64)
        .get_timeout(None)
        .build(Creator(setup.maker));
    Arc::new(pool)
}

impl Probed for Pool<Creator> {
    fn get(&self) -> Get {
        let pool = self.clone();
        task(async move { Pool::get(&pool).await })
    }

    fn resize(&self, limit: usize) -> BoxFuture<()> {
        let pool = self.clone();
        Box::pin(async move { pool.set_max_open_conns(limit as u64).await })
    }
}
