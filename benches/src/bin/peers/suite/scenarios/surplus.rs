//! More objects than are to be kept.

use std::time::{Duration, Instant};

use super::{Scenario, Verdict};
use crate::suite::census::Maker;
use crate::suite::getter::{PATIENCE, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "surplus",
    title: "More idle objects than are to be kept",
    setup: "Limit 50. A pool that can be told to keep a minimum, or to keep no more than so many, is told 5. \
            Fifty objects are made and are out, and then all of them are returned.",
    passes: "At most 10 objects are alive soon after. A pool that gives up idle objects by a clock only, or \
             when its user says so, does not offer it.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator, Need::IdleBound],
    run: |peer, _| Box::pin(run(peer)),
};

const LIMIT: usize = 50;
const KEEP: usize = 5;
const MOST: u32 = 10;

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let setup = Setup { minimum: KEEP, keep: KEEP, ..Setup::limited(LIMIT, &maker) };
    let pool = (peer.build)(setup).await?;
    drop(hold(&pool, LIMIT).await?);
    let end = Instant::now() + PATIENCE;
    while maker.counts().alive > MOST && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    settle().await;
    let alive = maker.counts().alive;
    Ok(Verdict::new(alive <= MOST, format!("{alive} of {LIMIT} alive at rest")))
}
