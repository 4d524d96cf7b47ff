//! The getter whose create never ends.

use super::{Scenario, Verdict};
use crate::suite::census::{End, Maker, at_once};
use crate::suite::getter::{Getter, PATIENCE, begun, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "inside",
    title: "The getter of a create that never ends",
    setup: "Limit 2, one object held. Getter A makes the pool call its creator, which never returns. Then \
            the held object is returned.",
    passes: "A is served, with the object that was returned.",
    needs: &[Need::Limit, Need::Waiting, Need::Creator, Need::FreeGetter],
    run: |peer, _| Box::pin(run(peer)),
};

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(2, &maker)).await?;
    let held = hold(&pool, 1).await?;
    maker.follow(|_| at_once(End::Never));
    let mut a = Getter::keep(&pool);
    begun(&maker, 2).await?;
    settle().await;
    drop(held);
    let seen = a.answer(PATIENCE).await;
    Ok(Verdict::new(seen.is_served(), format!("A was {}", seen.words())))
}
