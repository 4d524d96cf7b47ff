//! Waiting for any of several.

use std::time::Duration;

use kva::Shape;
use pool::choose::{after, always, choose, span, with_nack};

use super::super::object::Lent;
use super::super::stamp::Held;
use super::super::worker::{Cx, Done, SURE};

/// Without a moment among them: one of these must come.
pub(super) fn pools(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let shape = Shape::new(cx.rng.u32(1..4)).expect("not empty");
    let chosen = choose((
        world.pages.get_event().wrap(|got| {
            got.map(|item| drop(Held::new(&world.pages, item))).map_err(|error| SURE.get(&error))
        }),
        world.small.get_event().wrap(|got| {
            got.map(|item| drop(Held::new(&world.small, item))).map_err(|error| SURE.get(&error))
        }),
        world
            .lines
            .get_owned_event()
            .wrap(|got| got.map(|item| drop(Lent::new(item))).map_err(|error| SURE.or_fail().get(&error))),
        world.lines.reserve_event(3).wrap(|got| got.map(drop).map_err(|error| SURE.or_fail().get(&error))),
        span(&world.numbers.arena, shape)
            .wrap(|got| got.map(|span| drop(world.numbers.hold(span))).map_err(|_| Done::Refused)),
    ))
    .sync();
    chosen.map_or_else(|refused| refused, |()| Done::Yes)
}

pub(super) fn factories(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let chosen =
        choose((
            world.links.get_owned_event().wrap(|got| {
                got.map(|item| drop(Lent::new(item))).map_err(|error| SURE.or_fail().get(&error))
            }),
            world.jobs.get_owned_event().wrap(|got| {
                got.map(|item| drop(Lent::new(item))).map_err(|error| SURE.or_fail().get(&error))
            }),
            world.sessions.get_owned_event().wrap(|got| {
                got.map(|item| drop(Lent::new(item))).map_err(|error| SURE.or_fail().get(&error))
            }),
            after(Duration::from_millis(cx.rng.u64(..10))).wrap(|()| Err(Done::Refused)),
        ))
        .sync();
    chosen.map_or_else(|refused| refused, |()| Done::Yes)
}

/// A pool that is closed soon, or not.
pub(super) fn closing(cx: &mut Cx) -> Done {
    let Some(pool) = cx.world.fleeting.lock().clone() else { return Done::Refused };
    let patience = cx.patience();
    choose((
        pool.closed_event().wrap(|()| Done::Refused),
        pool.get_event().wrap(|got| match got {
            Ok(item) => {
                drop(Held::new(&pool, item));
                Done::Yes
            }
            Err(error) => SURE.or_close().get(&error),
        }),
    ))
    .sync_timeout(patience)
    .unwrap_or(Done::Refused)
}

/// Who was asked and not chosen is told so.
pub(super) fn nack(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let mut told = None;
    let asks = with_nack(|nack| {
        told = Some(nack);
        world.pages.get_event()
    });
    let chosen = choose((asks.wrap(Some), always(()).wrap(|()| None))).sync();
    match (chosen, told) {
        (Some(Ok(item)), _) => {
            drop(Held::new(&world.pages, item));
            Done::Yes
        }
        (Some(Err(error)), _) => SURE.get(&error),
        (None, Some(nack)) => {
            nack.event().sync();
            Done::Yes
        }
        (None, None) => Done::Yes,
    }
}
