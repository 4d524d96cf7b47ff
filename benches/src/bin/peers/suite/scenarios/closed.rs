//! A pool that is closed while getters wait.

use std::time::{Duration, Instant};

use super::{Scenario, Verdict};
use crate::suite::census::Maker;
use crate::suite::getter::{Getter, Seen, hold, settle};
use crate::suite::subject::{Need, Peer, Setup};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "close",
    title: "A pool that is closed while getters wait",
    setup: "Limit 1, the object held, three getters waiting. The pool is closed.",
    passes: "Each of the three is told within 1 s, while the object is still held.",
    needs: &[Need::Limit, Need::Waiting, Need::Close],
    run: |peer, _| Box::pin(run(peer)),
};

const PROMPTLY: Duration = Duration::from_secs(1);

async fn run(peer: &Peer) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(1, &maker)).await?;
    let held = hold(&pool, 1).await?;
    let waiters: Vec<_> = (0..3).map(|_| Getter::keep(&pool)).collect();
    settle().await;
    let closed = Instant::now();
    pool.close();
    let mut told = 0;
    let mut words = String::new();
    for mut waiter in waiters {
        let seen = waiter.answer(PROMPTLY.saturating_sub(closed.elapsed())).await;
        if let Seen::Refused(error) = seen {
            told += 1;
            words = error;
        }
    }
    drop(held);
    let observed = match told {
        0 => "nobody was told within 1 s".to_owned(),
        _ => format!("{told} of 3 were told: \"{words}\""),
    };
    Ok(Verdict::new(told == 3, observed))
}
