//! A waiter that gives up as it is served.

use std::future::poll_fn;
use std::hint;
use std::task::Poll;
use std::time::Duration;

use kva::sync::Arc;
use kva::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

use super::{Rounds, Scenario, Verdict};
use crate::suite::census::Maker;
use crate::suite::getter::{Getter, PATIENCE, Seen, hold};
use crate::suite::subject::{BoxFuture, Get, Got, Held, Need, Peer, Setup, Subject};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "cancel",
    title: "A first waiter that gives up as it is served",
    setup: "Limit 1, the object held. Waiter A comes first, waiter B second. A gives up about when the \
            object is returned. For futures: A is dropped just before, at once after, 1 ms after, or at the \
            same time on another thread, 100 times each. For blocking gets: A's timeout is 4 ms, and the \
            object is returned 3 to 5 ms after A came, 200 times; if A has it, it puts it back.",
    passes: "B is served every time.",
    needs: &[Need::Limit, Need::Waiting],
    run: |peer, rounds| Box::pin(run(peer, rounds)),
};

const FUTURES: usize = 400;
const THREADS: usize = 200;

async fn run(peer: &Peer, rounds: Rounds) -> anyhow::Result<Verdict> {
    let maker = Maker::new();
    let pool = (peer.build)(Setup::limited(1, &maker)).await?;
    let rounds = rounds.at_most(match pool.get() {
        Get::Task(_) => FUTURES,
        Get::Thread(_) => THREADS,
    });
    for round in 0..rounds {
        let held = hold(&pool, 1).await?.remove(0);
        let (moment, seen) = match (pool.get(), pool.get()) {
            (Get::Task(a), Get::Task(b)) => dropped(round, held, a, b).await?,
            _ => ("about then", timed_out(round, held, &pool).await),
        };
        if !seen.is_served() {
            let observed = format!("in round {} (A gave up {moment}) B was {}", round + 1, seen.words());
            return Ok(Verdict::new(false, observed));
        }
    }
    Ok(Verdict::new(true, format!("B was served in all of {rounds} rounds")))
}

/// A is dropped, at a moment that changes from round to round.
async fn dropped(
    round: usize,
    held: Held,
    mut a: BoxFuture<Got>,
    mut b: BoxFuture<Got>,
) -> anyhow::Result<(&'static str, Seen)> {
    // Polled here and not in a task, so that both wait, in this order, before anything else.
    for waiter in [&mut a, &mut b] {
        anyhow::ensure!(poll_once(waiter).await.is_none(), "a second object at a limit of 1");
    }
    let moment = match round % 4 {
        0 => {
            drop(a);
            drop(held);
            "just before"
        }
        1 => {
            drop(held);
            drop(a);
            "at once after"
        }
        2 => {
            drop(held);
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(a);
            "1 ms after"
        }
        _ => {
            at_the_same_time(round, held, a).await?;
            "at the same time"
        }
    };
    let seen = match tokio::time::timeout(PATIENCE, b).await {
        Ok(Ok(held)) => Seen::Served(held),
        Ok(Err(error)) => Seen::Refused(error),
        Err(_) => Seen::Unanswered,
    };
    Ok((moment, seen))
}

async fn at_the_same_time(round: usize, held: Held, a: BoxFuture<Got>) -> anyhow::Result<()> {
    let (ready, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let putter = {
        let (ready, go) = (ready.clone(), go.clone());
        // Not a plain thread: some puts spawn tasks, and want a runtime.
        tokio::task::spawn_blocking(move || {
            ready.store(true, Release);
            while !go.load(Acquire) {
                hint::spin_loop();
            }
            drop(held);
        })
    };
    while !ready.load(Acquire) {
        hint::spin_loop();
    }
    go.store(true, Release);
    for _ in 0..round % 97 {
        hint::spin_loop();
    }
    drop(a);
    Ok(putter.await?)
}

/// A's timeout ends about when the object is returned.
async fn timed_out(round: usize, held: Held, pool: &Subject) -> Seen {
    let mut a = Getter::keep_within(pool, Duration::from_millis(4));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut b = Getter::keep(pool);
    // With A's head start of 1 ms.
    tokio::time::sleep(Duration::from_micros(2000 + 100 * (round as u64 % 21))).await;
    drop(held);
    drop(a.answer(PATIENCE).await);
    b.answer(PATIENCE).await
}

async fn poll_once(future: &mut BoxFuture<Got>) -> Option<Got> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(got) => Some(got),
            Poll::Pending => None,
        })
    })
    .await
}
