//! A getter behind one whose create never ends.

use std::time::Duration;

use super::{Scenario, Verdict};
use crate::suite::census::{End, Maker, at_once};
use crate::suite::getter::{Getter, PATIENCE, begun, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "behind",
    title: "A getter behind a create that never ends",
    setup: "Limit 2, one object held. Getter A makes the pool call its creator, which never returns. \
            Getter B comes after it. Then the held object is returned. Whoever is served puts the object \
            back at once.",
    passes: "B is served.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator],
    run: |peer, _| Box::pin(run(peer)),
};

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(2, &maker)).await?;
    let held = hold(&pool, 1).await?;
    maker.follow(|_| at_once(End::Never));
    let _a = Getter::visit(&pool, Duration::ZERO);
    begun(&maker, 2).await?;
    let mut b = Getter::visit(&pool, Duration::ZERO);
    settle().await;
    drop(held);
    let seen = b.answer(PATIENCE).await;
    Ok(Verdict::new(seen.is_served(), format!("B was {}", seen.words())))
}
