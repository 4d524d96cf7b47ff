//! `deadpool::managed`.

use std::future::ready;
use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};

use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{BoxFuture, Get, Need, Peer, Probed, Setup, Subject, task};

pub(crate) const PEER: Peer = Peer {
    name: "deadpool/managed",
    package: "deadpool",
    setup: "`managed::Pool`, built with `max_size` and without timeouts, which is its default. The creator is \
            part of the getter's future.",
    lacks: &[
        (Need::CreatesBound, "no setting for how many creates there may be at once"),
        (Need::IdleBound, "no setting for how many may be idle: they go when the user calls `retain`"),
    ],
    build: |setup| Box::pin(ready(build(setup))),
};

struct Creator(Maker);

impl Manager for Creator {
    type Type = Object;
    type Error = Refused;

    async fn create(&self) -> Result<Object, Refused> {
        self.0.clone().make_async().await
    }

    async fn recycle(&self, _: &mut Object, _: &Metrics) -> RecycleResult<Refused> {
        Ok(())
    }
}

fn build(setup: Setup) -> anyhow::Result<Subject> {
    let pool = Pool::<Creator>::builder(Creator(setup.maker)).max_size(setup.limit).build()?;
    Ok(Arc::new(pool))
}

impl Probed for Pool<Creator> {
    fn get(&self) -> Get {
        let pool = self.clone();
        task(async move { Pool::get(&pool).await })
    }

    fn resize(&self, limit: usize) -> BoxFuture<()> {
        Pool::resize(self, limit);
        Box::pin(ready(()))
    }

    fn close(&self) {
        Pool::close(self);
    }
}
