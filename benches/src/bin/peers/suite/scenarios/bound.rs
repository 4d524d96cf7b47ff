//! The limit, and getters that race for it.

use std::time::Duration;

use super::{Scenario, Verdict};
use crate::suite::census::{End, Maker, Step};
use crate::suite::getter::{Getter, Start, Tally, hold};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "bound",
    title: "Getters that race at the limit",
    setup: "Limit 2, one object out all the while. Sixteen getters come at once, race for the place of the \
            other, whose create takes 2 ms, and put it back at once. That with 3000 new pools.",
    passes: "Never more than two objects are alive or being made, and all getters are served.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator],
    run: |peer, rounds| Box::pin(run(peer, rounds.at_most(ROUNDS))),
};

const ROUNDS: usize = 3000;
const GETTERS: usize = 16;
const LIMIT: usize = 2;

async fn run(peer: &Peer, rounds: usize) -> anyhow::Result<Verdict> {
    let (mut most, mut over) = (0, 0);
    for round in 0..rounds {
        let maker = Maker::new();
        let pool = (peer.build)(Setup::limited(LIMIT, &maker)).await?;
        let _out = hold(&pool, LIMIT - 1).await?;
        maker.follow(|_| Step { takes: Duration::from_millis(2), end: End::Made });
        let start = Start::soon();
        let getters = (0..GETTERS).map(|_| Getter::race(start, &pool, Duration::ZERO)).collect();
        let tally = Tally::of(getters).await;
        if !tally.all_served() {
            return Ok(Verdict::new(false, format!("in round {}: {}", round + 1, tally.words())));
        }
        let here = maker.counts().most;
        most = most.max(here);
        over += u32::from(here as usize > LIMIT);
    }
    let observed = match over {
        0 => format!("at most {most} at once in {rounds} rounds"),
        _ => format!("up to {most} at once; more than {LIMIT} in {over} of {rounds} rounds"),
    };
    Ok(Verdict::new(over == 0, observed))
}
