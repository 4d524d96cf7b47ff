//! Objects of factories, got by threads.

use pool::{Backend, GetError, Item};

use super::super::object::{Lent, Object};
use super::super::worker::{Cx, Done, IN_TIME, SURE};

type Got<'p, B> = Result<Item<'p, Object, B>, GetError<<B as Backend>::Error>>;

fn visit<B: Backend<Error: std::fmt::Debug>>(cx: &mut Cx, got: Got<'_, B>) -> Done {
    match got {
        Ok(item) => {
            let _lent = Lent::new(item);
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn file(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    visit(cx, world.files.get())
}

pub(super) fn session(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    visit(cx, world.sessions.get())
}

pub(super) fn session_in_time(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.sessions.request().grow_timeout(cx.patience()).timeout(4 * cx.patience()).get() {
        Ok(item) => visit(cx, Ok(item)),
        Err(error) => IN_TIME.or_fail().get(&error),
    }
}

pub(super) fn link(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    visit(cx, world.links.get())
}

pub(super) fn links(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.links.get_many(cx.rng.usize(1..4)) {
        Ok(items) => {
            let _lent: Vec<_> = items.into_iter().map(Lent::new).collect();
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn job(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    visit(cx, world.jobs.get())
}

pub(super) fn discard(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.sessions.get() {
        Ok(item) => {
            Item::discard(Lent::new(item).into_guard());
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}
