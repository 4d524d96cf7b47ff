//! A creator that panics once.

use std::time::Duration;

use super::{Scenario, Verdict};
use crate::suite::census::{End, Maker, at_once};
use crate::suite::getter::{Getter, PATIENCE, Seen, begun, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "panic",
    title: "A create that panics once",
    setup: "Limit 1, where there is a limit. The creator panics the first time it is called for a getter, \
            and succeeds from then on. A second getter comes when the first has its answer, or after 1 s \
            if it has none.",
    passes: "The second getter is served.",
    needs: &[Need::Creator],
    run: |peer, _| Box::pin(run(peer)),
};

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(1, &maker)).await?;
    // Some make objects before they are asked for one.
    let early = maker.counts().begun;
    let _early = hold(&pool, early as usize).await?;
    maker.follow(|nth| at_once(if nth == 0 { End::Panics } else { End::Made }));
    let mut first = Getter::visit(&pool, Duration::ZERO);
    begun(&maker, early + 1).await?;
    let first = match first.answer(Duration::from_secs(1)).await {
        Seen::Unanswered => "without an answer".to_owned(),
        seen => seen.words(),
    };
    settle().await;
    let second = Getter::visit(&pool, Duration::ZERO).answer(PATIENCE).await;
    let observed = format!("the first getter was {first}, the second {}", second.words());
    Ok(Verdict::new(second.is_served(), observed))
}
