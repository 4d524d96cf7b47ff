//! Limits that change, drains, pools that come and go, and looks inside.

use std::alloc::Layout;

use pool::RawPool;

use super::super::failure::{self, holds};
use super::super::stamp::Held;
use super::super::worker::{Cx, Done, IN_TIME, SURE};
use super::super::world::{QUANTUM, RESIZED};

pub(super) fn limit(cx: &mut Cx) -> Done {
    let changed = cx.world.resized.set_hard_limit(cx.rng.u32(1..=RESIZED));
    holds!(changed.is_ok(), "a limit can be changed", "{changed:?}");
    Done::Yes
}

pub(super) fn water(cx: &mut Cx) -> Done {
    let low = cx.rng.u32(..3);
    // Refused if the limit is lower by then.
    let changed = cx.world.resized.set_water(low, cx.rng.u32(low..=RESIZED));
    changed.map_or(Done::Refused, |()| Done::Yes)
}

pub(super) fn reserve(cx: &mut Cx) -> Done {
    let changed = cx.world.root.set_critical_reserve(cx.rng.u32(..6));
    holds!(changed.is_ok(), "a reserve can be changed", "{changed:?}");
    Done::Yes
}

pub(super) fn drain(cx: &mut Cx) -> Done {
    let watched = &cx.world.watched[cx.rng.usize(..cx.world.watched.len())];
    if watched.pool.drain() > 0 { Done::Yes } else { Done::Refused }
}

pub(super) fn prime(cx: &mut Cx) -> Done {
    match cx.world.small.prime(cx.rng.u32(1..6)) {
        Ok(_) => Done::Yes,
        Err(error) => SURE.try_get(&error),
    }
}

/// Builds a pool that others find and close. Who is at the one before is told that it is closed when the
/// last of its handles goes.
pub(super) fn build(cx: &mut Cx) -> Done {
    let item = Layout::from_size_align(QUANTUM / 2, 8).expect("words");
    let pool = RawPool::builder(item, 2).name("fleeting").build(cx.world.memory.clone());
    let Ok(pool) = pool else {
        failure::report(format!("a pool can be built: {pool:?}"));
        return Done::Refused;
    };
    let before = cx.world.fleeting.lock().replace(pool);
    drop(before);
    Done::Yes
}

pub(super) fn visit(cx: &mut Cx) -> Done {
    let pool = cx.world.fleeting.lock().clone();
    let Some(pool) = pool else { return Done::Refused };
    match pool.request().timeout(4 * cx.patience()).get() {
        Ok(item) => {
            let _held = Held::new(&pool, item);
            cx.linger();
            Done::Yes
        }
        Err(error) => IN_TIME.or_close().get(&error),
    }
}

pub(super) fn close(cx: &mut Cx) -> Done {
    let pool = cx.world.fleeting.lock().take();
    let Some(pool) = pool else { return Done::Refused };
    pool.close();
    holds!(pool.is_closed(), "what was closed is closed", "{pool:?}");
    Done::Yes
}

/// Nobody is disturbed by one who looks.
pub(super) fn look(cx: &mut Cx) -> Done {
    let said = cx.world.describe();
    holds!(said.contains("pages"), "a description names each pool", "{said}");
    pool::publish_metrics();
    Done::Yes
}
