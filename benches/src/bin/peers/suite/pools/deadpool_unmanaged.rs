//! `deadpool::unmanaged`.

use std::sync::Arc;

use deadpool::unmanaged::Pool;

use crate::suite::census::Object;
use crate::suite::subject::{Get, Need, Peer, Probed, Setup, Subject, task};

pub(crate) const PEER: Peer = Peer {
    name: "deadpool/unmanaged",
    package: "deadpool",
    setup: "`unmanaged::Pool`, from as many objects as the limit says, without a timeout, which is its default.",
    lacks: &[
        (Need::Creator, "no creator: objects are made and added by the caller"),
        (Need::Resize, "the limit cannot be changed"),
    ],
    build: |setup| Box::pin(build(setup)),
};

async fn build(setup: Setup) -> anyhow::Result<Subject> {
    let pool = Pool::new(setup.limit);
    for _ in 0..setup.limit {
        pool.add(setup.maker.make()?).await.map_err(|(_, error)| error)?;
    }
    Ok(Arc::new(pool))
}

impl Probed for Pool<Object> {
    fn get(&self) -> Get {
        let pool = self.clone();
        task(async move { Pool::get(&pool).await })
    }

    fn close(&self) {
        Pool::close(self);
    }
}
