//! Items of raw pools, buffers, pieces, and collections.

use std::io::{Read, Seek, SeekFrom, Write};
use std::ptr::NonNull;

use allocator_api2::boxed::Box as PoolBox;
use allocator_api2::vec::Vec as ArenaVec;
use bytes::BufMut;
use kva::Shape;
use kva::sync::atomic::Ordering::Relaxed;
use pool::pieces::PieceBuf;
use pool::{Backend, GetError, RawPool, TryGetError};

use super::super::failure::{self, holds};
use super::super::numbers;
use super::super::parcel::{self, Filled, Parcel};
use super::super::stamp::{self, Held, unique};
use super::super::worker::{Cx, Done, IN_TIME, NOW, Ready, SURE};

type Got<B> = Result<NonNull<u8>, GetError<<B as Backend>::Error>>;

/// Holds it for a moment.
fn visit<B: Backend<Error: std::fmt::Debug>>(
    cx: &mut Cx,
    pool: &RawPool<B>,
    got: Got<B>,
    ready: Ready,
) -> Done {
    match got {
        Ok(item) => {
            let _held = Held::new(pool, item);
            cx.linger();
            Done::Yes
        }
        Err(error) => ready.get(&error),
    }
}

fn visit_all(
    cx: &mut Cx,
    pool: &RawPool,
    got: Result<Vec<NonNull<u8>>, GetError<kva::AllocError>>,
    ready: Ready,
) -> Done {
    match got {
        Ok(items) => {
            let _held: Vec<_> = items.into_iter().map(|item| Held::new(pool, item)).collect();
            cx.linger();
            Done::Yes
        }
        Err(error) => ready.get(&error),
    }
}

pub(super) fn get(cx: &mut Cx) -> Done {
    let pool = cx.world.small.clone();
    let got = pool.get();
    visit(cx, &pool, got, SURE)
}

pub(super) fn get_by_handle(cx: &mut Cx) -> Done {
    let pool = cx.world.small.clone();
    let local = pool.local();
    let len = pool.item_layout().size();
    for _ in 0..cx.rng.u32(1..16) {
        let item = match local.get() {
            Ok(item) => item,
            Err(error) => return SURE.get(&error),
        };
        let me = unique();
        // SAFETY: it was lent, and is as long as that.
        unsafe { stamp::take(item, len, me) };
        cx.linger();
        // SAFETY: as above.
        unsafe { stamp::give(item, len, me) };
        // SAFETY: nobody uses it any more.
        let put = unsafe { local.put(item) };
        holds!(put.is_ok(), "what was lent can be put", "{put:?}");
    }
    Done::Yes
}

pub(super) fn get_in_time(cx: &mut Cx) -> Done {
    let pool = [&cx.world.small, &cx.world.pages, &cx.world.pieces][cx.rng.usize(..3)].clone();
    let request = pool.request().timeout(cx.patience());
    let got = if cx.rng.bool() { request.grow_timeout(cx.patience()).get() } else { request.get() };
    visit(cx, &pool, got, IN_TIME)
}

pub(super) fn try_get(cx: &mut Cx) -> Done {
    let pool = [&cx.world.small, &cx.world.pages, &cx.world.root][cx.rng.usize(..3)].clone();
    match pool.try_get() {
        Ok(item) => {
            let _held = Held::new(&pool, item);
            cx.linger();
            Done::Yes
        }
        Err(error) => NOW.try_get(&error),
    }
}

pub(super) fn get_strictly(cx: &mut Cx) -> Done {
    // Says that it keeps what it gets: in builds with debug assertions, a deadlock would be told.
    let _client = kva::client::enter("strict");
    let pool = cx.world.pages.clone();
    let got = pool.get();
    visit(cx, &pool, got, SURE)
}

pub(super) fn get_many(cx: &mut Cx) -> Done {
    let (pool, most) = if cx.rng.bool() { (&cx.world.pages, 12) } else { (&cx.world.small, 200) };
    let (pool, items) = (pool.clone(), cx.rng.usize(1..most));
    let got = pool.get_many(items);
    visit_all(cx, &pool, got, SURE)
}

pub(super) fn get_many_in_time(cx: &mut Cx) -> Done {
    let (pool, items) = (cx.world.pages.clone(), cx.rng.usize(1..24));
    let got = pool.request().timeout(cx.patience()).get_many(items);
    visit_all(cx, &pool, got, IN_TIME)
}

pub(super) fn get_critical(cx: &mut Cx) -> Done {
    let (pool, items) = (cx.world.root.clone(), cx.rng.usize(1..6));
    let got = pool.request().critical().get_many(items);
    visit_all(cx, &pool, got, SURE)
}

pub(super) fn get_beside_reserve(cx: &mut Cx) -> Done {
    let pool = cx.world.root.clone();
    let got = pool.get();
    visit(cx, &pool, got, SURE)
}

pub(super) fn get_classic(cx: &mut Cx) -> Done {
    let pool = if cx.rng.bool() { cx.world.classic.clone() } else { cx.world.last_page.clone() };
    if cx.rng.bool() {
        let got = pool.get();
        return visit(cx, &pool, got, SURE);
    }
    let got = pool.get_timeout(cx.patience());
    visit(cx, &pool, got, IN_TIME)
}

/// All that its arena has is released for one who sleeps there, again and again. It reaches that one, or
/// comes back, also if the sleeper's time is up just then.
pub(super) fn steal(cx: &mut Cx) -> Done {
    let world = &cx.world;
    let is_held = world.has_last_page.load(Relaxed);
    match world.scarce.try_alloc(Shape::new(1).expect("not zero")) {
        Ok(span) => {
            holds!(!is_held, "P3: what was released for somebody is no thief's", "{:?}", world.last_page);
            numbers::free(&world.scarce, span);
            Done::Yes
        }
        Err(_) => Done::Refused,
    }
}

pub(super) fn get_primed(cx: &mut Cx) -> Done {
    let pool = cx.world.primed.clone();
    let got = match pool.try_get() {
        Err(TryGetError::Exhausted) => pool.get(),
        Err(error) => return SURE.try_get(&error),
        Ok(item) => Ok(item),
    };
    visit(cx, &pool, got, SURE)
}

/// What is not lent is refused, and changes nothing.
pub(super) fn put_wrongly(cx: &mut Cx) -> Done {
    let pool = cx.world.pages.clone();
    let mut foreign = 0_u64;
    // SAFETY: nobody else puts this.
    let put = unsafe { pool.put(NonNull::from(&mut foreign).cast()) };
    holds!(put.is_err(), "what is another's is not taken back", "{put:?}");
    match pool.try_get() {
        Ok(item) => {
            let _held = Held::new(&pool, item);
            let middle = NonNull::new(item.as_ptr().wrapping_add(8)).expect("within an item");
            // SAFETY: it is no item's start, and nobody else puts it.
            let put = unsafe { pool.put(middle) };
            holds!(put.is_err(), "what is in the middle of an item is not taken back", "{put:?}");
            Done::Yes
        }
        Err(error) => NOW.try_get(&error),
    }
}

pub(super) fn keep(cx: &mut Cx) -> Done {
    match cx.world.pages.try_get() {
        Ok(item) => {
            // Nobody who keeps something waits any more.
            cx.ends = true;
            parcel::keep(Held::new(&cx.world.pages, item));
            Done::Yes
        }
        Err(error) => NOW.try_get(&error),
    }
}

pub(super) fn send(cx: &mut Cx) -> Done {
    let pool = [&cx.world.small, &cx.world.pages][cx.rng.usize(..2)];
    match pool.try_get() {
        Ok(item) if cx.world.parcels.send(Parcel::Item(Held::new(pool, item))) => Done::Yes,
        Ok(_) => Done::Refused,
        Err(error) => NOW.try_get(&error),
    }
}

pub(super) fn receive(cx: &mut Cx) -> Done {
    cx.world.parcels.take().map_or(Done::Refused, |parcel| {
        drop(parcel);
        Done::Yes
    })
}

pub(super) fn buffer(cx: &mut Cx) -> Done {
    let byte = cx.rng.u8(1..0x70);
    let mut buffer = match cx.world.pieces.get_buffer() {
        Ok(buffer) => buffer,
        Err(error) => return SURE.get(&error),
    };
    buffer.put_bytes(byte, buffer.capacity());
    let bytes = buffer.freeze();
    let part = Filled(bytes.slice(8..), byte);
    drop(bytes);
    cx.world.parcels.send(Parcel::Bytes(part));
    Done::Yes
}

pub(super) fn collection(cx: &mut Cx) -> Done {
    let byte = cx.rng.u8(1..0x70);
    if cx.rng.bool() {
        let Ok(boxed) = PoolBox::try_new_in([byte; 64], cx.world.small.clone()) else { return Done::Refused };
        cx.linger();
        holds!(*boxed == [byte; 64], "no item is lent to two", "a box of {byte} has others'");
        return Done::Yes;
    }
    let mut vec = ArenaVec::new_in(cx.world.memory.clone());
    for len in [5000, 15_000] {
        if vec.try_reserve(len).is_err() {
            return Done::Refused;
        }
        vec.resize(len, byte);
    }
    cx.linger();
    holds!(vec.iter().all(|it| *it == byte), "no span is lent to two", "a vector of {byte} has others'");
    Done::Yes
}

/// Writes as much as there is room for, and reads it again.
fn write_and_read(cx: &mut Cx, mut buf: PieceBuf) -> Done {
    let byte = cx.rng.u8(1..0x70);
    let mut written = 0;
    let wanted = cx.rng.usize(1..4000);
    while written < wanted {
        match buf.write(&vec![byte; wanted - written]) {
            Ok(0) | Err(_) => break,
            Ok(more) => written += more,
        }
    }
    cx.linger();
    let mut read = Vec::new();
    let is_read = buf.seek(SeekFrom::Start(0)).is_ok() && buf.read_to_end(&mut read).is_ok();
    let is_same = read.len() == written && read.iter().all(|it| *it == byte);
    holds!(is_read && is_same, "no item is lent to two", "pieces of {byte} have others'");
    Done::Yes
}

pub(super) fn pieces(cx: &mut Cx) -> Done {
    let (pool, bytes) = (cx.world.pieces.clone(), cx.rng.usize(1..6000));
    let got = match cx.rng.u32(..3) {
        0 => PieceBuf::try_with_capacity(&pool, bytes).map_err(|error| NOW.try_get(&error)),
        1 => pool.request().timeout(cx.patience()).get_pieces(bytes).map_err(|error| IN_TIME.get(&error)),
        _ => PieceBuf::with_capacity(&pool, bytes).map_err(|error| SURE.get(&error)),
    };
    got.map_or_else(|refused| refused, |buf| write_and_read(cx, buf))
}

/// The first piece is waited for, the others are not.
pub(super) fn pieces_as_they_come(cx: &mut Cx) -> Done {
    let buf = PieceBuf::new(&cx.world.pieces);
    write_and_read(cx, buf)
}
