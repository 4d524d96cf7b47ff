//! A creator that fails once while others wait.

use std::time::Duration;

use super::{Scenario, Verdict};
use crate::suite::census::{End, Maker, Step, at_once};
use crate::suite::getter::{Getter, Tally, begun};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "failure",
    title: "A create that fails while others wait",
    setup: "Limit 1. A getter makes the pool call its creator, which fails after 100 ms, and succeeds from \
            then on. Meanwhile three more getters wait. Whoever is served puts the object back after 1 ms.",
    passes: "At most one getter is told of the error, and the others are served.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator, Need::FallibleCreator],
    run: |peer, _| Box::pin(run(peer)),
};

const HOLD: Duration = Duration::from_millis(1);

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(1, &maker)).await?;
    maker.follow(|nth| match nth {
        0 => Step { takes: Duration::from_millis(100), end: End::Fails },
        _ => at_once(End::Made),
    });
    let mut getters = vec![Getter::visit(&pool, HOLD)];
    begun(&maker, 1).await?;
    getters.extend((0..3).map(|_| Getter::visit(&pool, HOLD)));
    let tally = Tally::of(getters).await;
    let pass = tally.refused <= 1 && tally.panicked + tally.unanswered == 0;
    Ok(Verdict::new(pass, tally.words()))
}
