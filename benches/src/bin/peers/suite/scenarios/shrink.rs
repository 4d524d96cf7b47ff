//! A limit that is lowered: of idle objects, of objects that are out, and of a pool that has
//! made none.

use std::time::Duration;

use super::{Scenario, Verdict};
use crate::suite::census::Maker;
use crate::suite::getter::{Getter, PATIENCE, Tally, hold, settle};
use crate::suite::subject::{Need, Peer, Setup, Subject};

pub(crate) const IDLE: Scenario = Scenario {
    name: "shrink-idle",
    title: "A lower limit, and idle objects above it",
    setup: "Limit 10, ten objects made and all of them idle. The limit is set to 1.",
    passes: "One object at most is alive, at rest and after one more get and put, and that get is served.",
    needs: NEEDS,
    run: |peer, _| Box::pin(idle(peer)),
};

pub(crate) const OUT: Scenario = Scenario {
    name: "shrink-out",
    title: "A lower limit, and objects that are out above it",
    setup: "Limit 10, ten objects made and all of them out. The limit is set to 1, and then all of them \
            are returned.",
    passes: "One object at most is alive, at rest and after one more get and put, and that get is served.",
    needs: NEEDS,
    run: |peer, _| Box::pin(out(peer)),
};

pub(crate) const UNUSED: Scenario = Scenario {
    name: "shrink-new",
    title: "A lower limit of a pool that has made nothing yet",
    setup: "Limit 10, no object made. The limit is set to 1. Then ten getters come at once, each of which \
            puts its object back after 20 ms.",
    passes: "Never more than one object is alive or being made, and all getters are served.",
    needs: NEEDS,
    run: |peer, _| Box::pin(unused(peer)),
};

const NEEDS: &[Need] = &[Need::Limit, Need::Waiting, Need::Creator, Need::Resize];
const BEFORE: usize = 10;
const AFTER: usize = 1;

async fn idle(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(BEFORE, &maker)).await?;
    drop(hold(&pool, BEFORE).await?);
    settle().await;
    pool.resize(AFTER).await;
    rest(&maker, &pool).await
}

async fn out(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(BEFORE, &maker)).await?;
    let held = hold(&pool, BEFORE).await?;
    pool.resize(AFTER).await;
    drop(held);
    rest(&maker, &pool).await
}

async fn rest(maker: &Maker, pool: &Subject) -> anyhow::Result<Verdict> {
    settle().await;
    let before = maker.counts().alive;
    let later = Getter::visit(pool, Duration::ZERO).answer(PATIENCE).await;
    settle().await;
    let after = maker.counts().alive;
    let pass = before as usize <= AFTER && after as usize <= AFTER && later.is_served();
    Ok(Verdict::new(pass, format!("{before} alive; a later get was {}, {after} alive then", later.words())))
}

async fn unused(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(BEFORE, &maker)).await?;
    pool.resize(AFTER).await;
    let getters = (0..BEFORE).map(|_| Getter::visit(&pool, Duration::from_millis(20))).collect();
    let tally = Tally::of(getters).await;
    let most = maker.counts().most;
    let pass = most as usize <= AFTER && tally.all_served();
    Ok(Verdict::new(pass, format!("{most} alive or being made at once; {}", tally.words())))
}
