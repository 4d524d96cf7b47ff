//! Objects of pools over the arena.

use pool::{AttachError, Item, LocalItem};

use super::super::object::Lent;
use super::super::parcel::Parcel;
use super::super::worker::{Cx, Done, IN_TIME, NOW, SURE};

pub(super) fn get(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.lines.get() {
        Ok(item) => {
            let _lent = Lent::new(item);
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn get_by_handle(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    // One pool has validations, for which it goes the long way; the other has none.
    let pool = [&world.lines, &world.resized][cx.rng.usize(..2)];
    let local = pool.local();
    for _ in 0..cx.rng.u32(1..8) {
        match local.get() {
            Ok(item) => {
                let lent = Lent::new(item);
                cx.linger();
                if cx.one_in(16) {
                    LocalItem::discard(lent.into_guard());
                }
            }
            Err(error) => return SURE.or_fail().get(&error),
        }
    }
    Done::Yes
}

pub(super) fn get_in_time(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.lines.request().timeout(cx.patience()).get() {
        Ok(item) => {
            let _lent = Lent::new(item);
            cx.linger();
            Done::Yes
        }
        Err(error) => IN_TIME.or_fail().get(&error),
    }
}

pub(super) fn get_many(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.lines.get_many(cx.rng.usize(1..12)) {
        Ok(items) => {
            let _lent: Vec<_> = items.into_iter().map(Lent::new).collect();
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn reserve(cx: &mut Cx) -> Done {
    let items = cx.rng.usize(1..8);
    match cx.world.lines.reserve(items) {
        Ok(mut reservation) => {
            let used = cx.rng.usize(..=items);
            for _ in 0..used {
                let lent = reservation.get().map(Lent::new);
                cx.linger();
                drop(lent);
            }
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn try_reserve(cx: &mut Cx) -> Done {
    match cx.world.lines.try_reserve(cx.rng.usize(1..8)) {
        Ok(mut reservation) => {
            let _lent: Vec<_> = std::iter::from_fn(|| reservation.get().map(Lent::new)).collect();
            Done::Yes
        }
        Err(error) => NOW.or_fail().try_get(&error),
    }
}

pub(super) fn send(cx: &mut Cx) -> Done {
    match cx.world.lines.request().try_get_owned() {
        Ok(item) => {
            if cx.world.parcels.send(Parcel::Object(Lent::new(item))) {
                Done::Yes
            } else {
                Done::Refused
            }
        }
        Err(error) => NOW.or_fail().try_get(&error),
    }
}

pub(super) fn discard(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.lines.get() {
        Ok(item) => {
            let lent = Lent::new(item);
            cx.linger();
            Item::discard(lent.into_guard());
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) fn attach(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let object = match world.lines.try_get() {
        Ok(item) => Item::detach(Lent::new(item).into_guard()),
        Err(error) => {
            NOW.or_fail().try_get(&error);
            world.maker.make_surely()
        }
    };
    match world.lines.attach(object) {
        Ok(item) => {
            let _lent = Lent::new(item);
            Done::Yes
        }
        Err(AttachError { error, .. }) => NOW.or_fail().try_get(&error),
    }
}

pub(super) fn get_resized(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.resized.get() {
        Ok(item) => {
            let _lent = Lent::new(item);
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.get(&error),
    }
}

pub(super) fn get_many_resized(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.resized.get_many(cx.rng.usize(1..10)) {
        Ok(items) => {
            let _lent: Vec<_> = items.into_iter().map(Lent::new).collect();
            cx.linger();
            Done::Yes
        }
        Err(error) => SURE.or_limit().get(&error),
    }
}
