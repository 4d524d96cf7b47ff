//! Many getters at once, slow creates and short use: what `HikariCP` calls a spike load.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Scenario, Verdict};
use crate::suite::census::{Counts, End, Maker, Step};
use crate::suite::getter::{Getter, SETUP, Tally, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "spike",
    title: "A spike of short uses",
    setup: "After HikariCP's SpikeLoadTest. Limit 50; 5 objects made and idle; from then on a create takes \
            150 ms. Fifty getters come at once, and each puts its object back after 2 ms. A pool that can \
            be told to keep a minimum is told 5. One that can be told how many creates there may be at once \
            is told 4, since that is what such a setting is for; what it begins if it is not told is said \
            beside it, and does not decide.",
    passes: "All are served, and at most 10 creates are begun until nothing has changed for 500 ms. The five \
             objects serve everybody in less time than one create takes, so that no create is needed, and \
             each is load on a server all the same. Ten is twice the minimum.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator],
    run: |peer, _| Box::pin(run(peer)),
};

const MINIMUM: usize = 5;
const GETTERS: usize = 50;
const AT_ONCE: usize = 4;
const MOST: u32 = 10;

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let (tally, begun) = spike(peer, Some(AT_ONCE)).await?;
    let mut observed = format!("{}; {begun} creates begun", tally.words());
    if peer.lacks(&[Need::CreatesBound]).is_none() {
        let (_, begun) = spike(peer, None).await?;
        let _ = write!(observed, ", {begun} if not told how many at once");
    }
    Ok(Verdict::new(tally.all_served() && begun <= MOST, observed))
}

/// What the getters were told, and how many creates were begun for them.
async fn spike(peer: &Peer, at_once: Option<usize>) -> anyhow::Result<(Tally, u32)> {
    let maker = Maker::new();
    let setup =
        Setup { minimum: MINIMUM, keep: MINIMUM, creates: at_once, ..Setup::limited(GETTERS, &maker) };
    let pool = (peer.build)(setup).await?;
    settle().await;
    if (maker.counts().alive as usize) < MINIMUM {
        drop(hold(&pool, MINIMUM).await?);
    }
    let primed = rest(&maker).await?;
    anyhow::ensure!(
        primed.alive as usize == MINIMUM,
        "{} objects after priming, not {MINIMUM}",
        primed.alive
    );

    maker.follow(|_| Step { takes: Duration::from_millis(150), end: End::Made });
    let getters = (0..GETTERS).map(|_| Getter::visit(&pool, Duration::from_millis(2))).collect();
    let tally = Tally::of(getters).await;
    let end = rest(&maker).await?;
    Ok((tally, end.begun - primed.begun))
}

/// Waits until nothing is being made and nothing has changed for a while.
async fn rest(maker: &Maker) -> anyhow::Result<Counts> {
    let give_up = Instant::now() + SETUP;
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
