//! `r2d2`.

use std::sync::Arc;

use r2d2::{ManageConnection, Pool};

use super::AN_HOUR;
use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{Get, Need, Peer, Probed, Setup, Subject, thread};

pub(crate) const PEER: Peer = Peer {
    name: "r2d2",
    package: "r2d2",
    setup: "`max_size`; `min_idle` of 0, or the minimum where one is asked for, since its default is to make \
            all at the start; `connection_timeout` of an hour. Failed creates are retried. The creator runs on \
            one of the pool's three threads, its default and the most creates at once; those beyond are queued.",
    lacks: &[
        (Need::Resize, "the limit cannot be changed"),
        (Need::Close, "no close: a pool lives as long as a handle, and a waiter has one"),
        (Need::CreatesBound, "no setting for how many creates there may be at once but its threads"),
        (
            Need::IdleBound,
            "idle objects above the minimum go by a clock only: `idle_timeout`, by default 10 minutes",
        ),
    ],
    build: |setup| Box::pin(std::future::ready(build(setup))),
};

struct Creator(Maker);

impl ManageConnection for Creator {
    type Connection = Object;
    type Error = Refused;

    fn connect(&self) -> Result<Object, Refused> {
        self.0.make()
    }

    fn is_valid(&self, _: &mut Object) -> Result<(), Refused> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Object) -> bool {
        false
    }
}

fn build(setup: Setup) -> anyhow::Result<Subject> {
    let pool = Pool::builder()
        .max_size(u32::try_from(setup.limit)?)
        .min_idle(Some(u32::try_from(setup.minimum)?))
        .connection_timeout(AN_HOUR)
        .build(Creator(setup.maker))?;
    Ok(Arc::new(pool))
}

impl Probed for Pool<Creator> {
    fn get(&self) -> Get {
        let pool = self.clone();
        thread(move |patience| match patience {
            Some(patience) => pool.get_timeout(patience),
            None => Pool::get(&pool),
        })
    }
}
