//! Many getters at once, slow creates and short use: what `HikariCP` calls a spike load.

use std::time::{Duration, Instant};

use super::{Scenario, Verdict};
use crate::suite::census::{Counts, End, Maker, Step};
use crate::suite::getter::{Getter, Tally, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "spike",
    title: "A spike of short uses",
    setup: "After HikariCP's SpikeLoadTest. Limit 50; 5 objects made and idle; from then on a create takes \
            150 ms. Fifty getters come at once, and each puts its object back after 2 ms. A pool that can \
            be told to keep a minimum, or to keep no more than so many idle, is told 5.",
    passes: "All are served, and at most 10 objects are alive when the last create has ended and nothing has \
             changed for 500 ms. That is twice the minimum, which serves everybody in less time than one create \
             takes. Creates that were begun in vain are said beside it, and do not decide.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator],
    run: |peer| Box::pin(run(peer)),
};

const MINIMUM: usize = 5;
const GETTERS: usize = 50;
const MOST: u32 = 10;

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let setup = Setup { limit: GETTERS, keep: MINIMUM, minimum: MINIMUM, maker: maker.clone() };
    let pool = (peer.build)(setup).await?;
    if (maker.counts().alive as usize) < MINIMUM {
        drop(hold(&pool, MINIMUM).await?);
    }
    settle().await;
    let primed = maker.counts();
    anyhow::ensure!(
        primed.alive as usize == MINIMUM,
        "{} objects after priming, not {MINIMUM}",
        primed.alive
    );

    maker.follow(|_| Step { takes: Duration::from_millis(150), end: End::Made });
    let getters = (0..GETTERS).map(|_| Getter::visit(&pool, Duration::from_millis(2))).collect();
    let tally = Tally::of(getters).await;
    let end = rest(&maker).await?;

    let begun = end.begun - primed.begun;
    let observed = format!("{}; {} alive at the end; {begun} creates begun", tally.words(), end.alive);
    Ok(Verdict::new(tally.all_served() && end.alive <= MOST, observed))
}

/// Waits until nothing is being made and nothing has changed for a while.
async fn rest(maker: &Maker) -> anyhow::Result<Counts> {
    let give_up = Instant::now() + Duration::from_secs(20);
    let mut last = maker.counts();
    let mut since = Instant::now();
    while last.making > 0 || since.elapsed() < Duration::from_millis(500) {
        anyhow::ensure!(Instant::now() < give_up, "it makes objects without end");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = maker.counts();
        if (now.alive, now.making, now.begun) != (last.alive, last.making, last.begun) {
            since = Instant::now();
        }
        last = now;
    }
    Ok(last)
}
