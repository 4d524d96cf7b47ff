//! Choices: of each kind of event, beside one that it may lose to. Who is told that it was not chosen is
//! told if it was not, and only then.

use std::time::{Duration, Instant};

use kva::Shape;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use pool::Pool;
use pool::choose::{Event, Nack, Wait, choose, deadline_by, future, never, span, with_nack};

use super::Operation;
use super::gate::Gate;
use super::objects::{plain, validating, with_arena, with_factory};
use super::raw::{self, Memory};
use super::spans::Taken;
use super::support::Block;
use super::world::{Outcome, Running, boxed, had};

pub(crate) const OPERATIONS: &[Operation] = &[
    ("choose: items of one pool", 1, || {
        with_arena(0, plain, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move { boxed(choose([(); 3].map(|()| pool.get_owned_event())).await) })
        })
    }),
    ("choose: memory, nothing", 1, || {
        raw::world(|pool| {
            Box::pin(async move {
                let item = pool.get_event().wrap(|item| boxed(item.map(|item| Memory(pool.clone(), item))));
                choose((item, never())).await
            })
        })
    }),
    ("choose: a reservation, an item", 1, || {
        with_arena(0, plain, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move {
                let several = pool.reserve_event(2).wrap(boxed);
                choose((several, pool.get_owned_event().wrap(boxed))).await
            })
        })
    }),
    ("choose: a span, an item", 1, || {
        with_arena(0, plain, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move {
                let memory = pool.backend().clone();
                let taken = |span: Result<_, _>| boxed(span.map(|span| Taken(memory.clone(), span)));
                let run = span(&memory, Shape::new(1).unwrap()).wrap(taken);
                choose((run, pool.get_owned_event().wrap(boxed))).await
            })
        })
    }),
    ("choose: a deadline, an item", 1, || {
        with_arena(0, plain, |pool, gate| {
            let (pool, gate) = (pool.clone(), gate.clone());
            Box::pin(async move {
                // The runtime's sleep says that it has come.
                let at = Instant::now() + Duration::from_hours(1);
                let late = deadline_by(at, move |_| gate.clone().pass(0)).wrap(|()| nothing());
                choose((pool.get_owned_event().wrap(boxed), late)).await
            })
        })
    }),
    ("choose: the close, an item", 1, || {
        with_arena(0, plain, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move {
                choose((pool.closed_event().wrap(|()| nothing()), pool.get_owned_event().wrap(boxed))).await
            })
        })
    }),
    ("choose: a future, an item", 1, || {
        with_arena(0, plain, |pool, gate| beside_a_future(pool, gate.clone()))
    }),
    ("choose: a future, a validated item", 2, || {
        with_arena(0, validating, |pool, gate| beside_a_future(pool, gate.clone()))
    }),
    ("choose: items that are made", 2, || {
        with_factory(false, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move { boxed(choose((pool.get_owned_event(), pool.get_owned_event())).await) })
        })
    }),
    ("choose: items with nacks, a future", 1, || {
        with_arena(0, plain, |pool, gate| {
            let (pool, gate) = (pool.clone(), gate.clone());
            Box::pin(async move {
                let (one, other, steps) = (Told::default(), Told::default(), Told::default());
                choose((
                    one.tells(pool.get_owned_event().wrap(boxed)),
                    other.tells(pool.get_owned_event().wrap(boxed)),
                    steps.tells(future(gate.pass(0)).wrap(|()| nothing())),
                ))
                .await
            })
        })
    }),
    ("Nack::event", 1, || {
        with_arena(0, plain, |pool, gate| {
            let (pool, gate) = (pool.clone(), gate.clone());
            Box::pin(async move {
                // Whichever was not chosen is told so, while the next is waited for.
                let told = Told::default();
                let steps = future(gate.clone().pass(0)).wrap(|()| nothing());
                let first = choose((told.tells(pool.get_owned_event().wrap(boxed)), steps)).await;
                let Some(nack) = told.nack() else { return first };
                drop(
                    choose((nack.event().wrap(|()| nothing()), future(gate.pass(1)).wrap(|()| nothing())))
                        .await,
                );
                first
            })
        })
    }),
];

#[allow(clippy::unnecessary_wraps, reason = "an outcome as any other")]
fn nothing() -> Outcome {
    Ok(had(()))
}

fn beside_a_future(pool: &Pool<Block>, gate: Gate) -> Running {
    let pool = pool.clone();
    Box::pin(async move {
        // Not before the pool could have validated one.
        let steps = future(gate.pass(1)).wrap(|()| nothing());
        choose((steps, pool.get_owned_event().wrap(boxed))).await
    })
}

/// Whether an event was chosen, and what it was told. Checked when the operation is gone.
#[derive(Default)]
struct Told(Arc<State>);

#[derive(Default)]
struct State {
    nack: kva::sync::Mutex<Option<Nack>>,
    chosen: AtomicBool,
}

impl Told {
    fn tells<'a>(
        &self,
        event: Event<impl Wait<Output = Outcome, Attempt: Send> + Send + 'a>,
    ) -> Event<impl Wait<Output = Outcome, Attempt: Send> + Send + 'a> {
        let (state, chosen) = (self.0.clone(), self.0.clone());
        let event = event.wrap(move |outcome| {
            chosen.chosen.store(true, SeqCst);
            outcome
        });
        with_nack(move |nack| {
            *state.nack.lock() = Some(nack);
            event
        })
    }

    fn nack(&self) -> Option<Nack> {
        self.0.nack.lock().clone()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(nack) = self.nack() {
            assert_ne!(nack.is_told(), self.0.chosen.load(SeqCst), "told that it was not chosen");
        }
    }
}
