//! `bb8`.

use std::sync::Arc;

use bb8::{ManageConnection, Pool};

use super::AN_HOUR;
use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{Get, Need, Peer, Probed, Setup, Subject, task};

pub(crate) const PEER: Peer = Peer {
    name: "bb8",
    package: "bb8",
    setup: "`max_size`; `min_idle` where a minimum is asked for; `connection_timeout` of an hour. Failed creates \
            are retried, which is its default. The creator runs in a task that the pool spawns.",
    lacks: &[
        (Need::Resize, "the limit cannot be changed"),
        (Need::Close, "no close: a pool lives as long as a handle, and a waiter has one"),
        (Need::CreatesBound, "no setting for how many creates there may be at once"),
        (
            Need::IdleBound,
            "idle objects above the minimum go by a clock only: `idle_timeout`, by default 10 minutes",
        ),
    ],
    build: |setup| Box::pin(build(setup)),
};

struct Creator(Maker);

impl ManageConnection for Creator {
    type Connection = Object;
    type Error = Refused;

    async fn connect(&self) -> Result<Object, Refused> {
        self.0.clone().make_async().await
    }

    async fn is_valid(&self, _: &mut Object) -> Result<(), Refused> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Object) -> bool {
        false
    }
}

async fn build(setup: Setup) -> anyhow::Result<Subject> {
    let pool = Pool::builder()
        .max_size(u32::try_from(setup.limit)?)
        .min_idle((setup.minimum > 0).then_some(u32::try_from(setup.minimum)?))
        .connection_timeout(AN_HOUR)
        .build(Creator(setup.maker))
        .await?;
    Ok(Arc::new(pool))
}

impl Probed for Pool<Creator> {
    fn get(&self) -> Get {
        let pool = self.clone();
        task(async move { pool.get_owned().await })
    }
}
