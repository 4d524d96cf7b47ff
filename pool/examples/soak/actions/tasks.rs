//! What tasks do: the same gets as futures, which may be dropped at any time.

use std::future::poll_fn;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::Poll;
use std::time::Duration;

use bytes::BufMut;
use futures_util::future::{Either, select};
use kva::Shape;
use pool::choose::{choose, span as span_event};
use pool::{Backend, GetError, RawPool};
use tokio::time::sleep;

use super::super::object::Lent;
use super::super::parcel::{Filled, Parcel};
use super::super::stamp::Held;
use super::super::worker::{Cx, Done, IN_TIME, Ready, SURE};

/// Holds what one has for a moment, and lets others be polled.
async fn linger(cx: &mut Cx) {
    match cx.rng.u32(..32) {
        0 => sleep(Duration::from_micros(cx.rng.u64(..2000))).await,
        1..8 => tokio::task::yield_now().await,
        _ => {}
    }
}

fn hold<B: Backend<Error: std::fmt::Debug>>(
    pool: &RawPool<B>,
    got: Result<NonNull<u8>, GetError<B::Error>>,
    ready: Ready,
) -> Result<Held<B>, Done> {
    got.map(|item| Held::new(pool, item)).map_err(|error| ready.get(&error))
}

pub(super) async fn raw(cx: &mut Cx) -> Done {
    let pool = [&cx.world.small, &cx.world.pages, &cx.world.pieces][cx.rng.usize(..3)].clone();
    // Held from the poll in which it came.
    let got = {
        let held = pool.get_async();
        held.await.map(|item| Held::new(&pool, item))
    };
    match got {
        Ok(held) => {
            linger(cx).await;
            drop(held);
            Done::Yes
        }
        Err(error) => SURE.get(&error),
    }
}

/// By a clock from without, which drops it.
pub(super) async fn raw_in_time(cx: &mut Cx) -> Done {
    let (pool, patience) = (cx.world.pages.clone(), cx.patience());
    let got = async { hold(&pool, pool.get_async().await, SURE) };
    match tokio::time::timeout(patience, got).await {
        Ok(Ok(held)) => {
            linger(cx).await;
            drop(held);
            Done::Yes
        }
        Ok(Err(refused)) => refused,
        Err(_late) => Done::Refused,
    }
}

/// Polled a few times, whatever it is, and then dropped.
pub(super) async fn dropped(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let (kind, items, mut polls) = (cx.rng.u32(..7), cx.rng.usize(1..4), cx.rng.u32(1..4));
    let shape = Shape::new(cx.rng.u32(1..8)).expect("not empty");
    let future = async {
        match kind {
            0 => hold(&world.pages, world.pages.get_async().await, SURE).map(drop),
            1 => world
                .lines
                .get_owned_async()
                .await
                .map(|it| drop(Lent::new(it)))
                .map_err(|e| SURE.or_fail().get(&e)),
            2 => {
                world.lines.request().reserve_async(items).await.map(drop).map_err(|e| SURE.or_fail().get(&e))
            }
            3 => world
                .links
                .get_owned_async()
                .await
                .map(|it| drop(Lent::new(it)))
                .map_err(|e| SURE.or_fail().get(&e)),
            4 => world
                .jobs
                .get_owned_async()
                .await
                .map(|it| drop(Lent::new(it)))
                .map_err(|e| SURE.or_fail().get(&e)),
            5 => world
                .sessions
                .get_owned_async()
                .await
                .map(|it| drop(Lent::new(it)))
                .map_err(|e| SURE.or_fail().get(&e)),
            _ => {
                let span = world.numbers.arena.alloc_async(shape).await;
                span.map(|span| drop(world.numbers.hold(span))).map_err(|_| Done::Refused)
            }
        }
    };
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(end) => Poll::Ready(end.map_or_else(|refused| refused, |()| Done::Yes)),
        Poll::Pending => {
            polls -= 1;
            if polls == 0 {
                return Poll::Ready(Done::Refused);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

pub(super) async fn object(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let pool = [&world.lines, &world.resized][cx.rng.usize(..2)];
    // The resized has a clock of its own.
    let request = pool.request();
    let (request, ready) = if cx.rng.bool() && std::ptr::eq(pool, &raw const world.resized) {
        (request.timeout(cx.patience()), IN_TIME)
    } else {
        (request, SURE)
    };
    match request.get_owned_async().await.map(Lent::new) {
        Ok(lent) => {
            linger(cx).await;
            drop(lent);
            Done::Yes
        }
        Err(error) => ready.or_fail().get(&error),
    }
}

pub(super) async fn reserve(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.lines.request().reserve_async(cx.rng.usize(1..6)).await {
        Ok(mut reservation) => {
            while let Some(item) = reservation.get() {
                let lent = Lent::new(item);
                linger(cx).await;
                drop(lent);
            }
            Done::Yes
        }
        Err(error) => SURE.or_fail().get(&error),
    }
}

pub(super) async fn pieces(cx: &mut Cx) -> Done {
    let (pool, bytes, byte) = (cx.world.pieces.clone(), cx.rng.usize(1..6000), cx.rng.u8(1..0x70));
    match pool.request().get_pieces_async(bytes).await {
        Ok(mut buf) => {
            let filled = buf.try_extend_from_slice(&vec![byte; bytes]);
            linger(cx).await;
            let is_same = filled.is_ok() && buf.chunks().flatten().all(|it| *it == byte);
            if !is_same {
                super::super::failure::report(format!(
                    "no item is lent to two: pieces of {byte}, {filled:?}"
                ));
            }
            Done::Yes
        }
        Err(error) => SURE.get(&error),
    }
}

pub(super) async fn buffer(cx: &mut Cx) -> Done {
    let (world, byte) = (cx.world.clone(), cx.rng.u8(1..0x70));
    match world.pieces.get_buffer_async().await {
        Ok(mut buffer) => {
            buffer.put_bytes(byte, 300);
            linger(cx).await;
            world.parcels.send(Parcel::Bytes(Filled(buffer.freeze(), byte)));
            Done::Yes
        }
        Err(error) => SURE.get(&error),
    }
}

macro_rules! visit {
    ($name:ident, $pool:ident) => {
        pub(super) async fn $name(cx: &mut Cx) -> Done {
            let world = cx.world.clone();
            let request = world.$pool.request();
            let (request, ready) = match cx.rng.u32(..3) {
                0 => (request.timeout(4 * cx.patience()), IN_TIME),
                1 => (request.grow_timeout(cx.patience()), IN_TIME),
                _ => (request, SURE),
            };
            match request.get_owned_async().await.map(Lent::new) {
                Ok(lent) => {
                    linger(cx).await;
                    drop(lent);
                    Done::Yes
                }
                Err(error) => ready.or_fail().get(&error),
            }
        }
    };
}

visit!(session, sessions);
visit!(link, links);
visit!(job, jobs);

/// Choices, and the executor's own.
pub(super) async fn choose_any(cx: &mut Cx) -> Done {
    let (world, patience) = (cx.world.clone(), cx.patience());
    let one = Shape::new(1).expect("not empty");
    let choice = choose((
        world
            .lines
            .get_owned_event()
            .wrap(|got| got.map(|it| drop(Lent::new(it))).map_err(|e| SURE.or_fail().get(&e))),
        world
            .resized
            .get_owned_event()
            .wrap(|got| got.map(|it| drop(Lent::new(it))).map_err(|e| SURE.get(&e))),
        world
            .jobs
            .get_owned_event()
            .wrap(|got| got.map(|it| drop(Lent::new(it))).map_err(|e| SURE.or_fail().get(&e))),
        span_event(&world.numbers.arena, one)
            .wrap(|got| got.map(|it| drop(world.numbers.hold(it))).map_err(|_| Done::Refused)),
    ));
    let (choice, late) = (pin!(choice.into_future()), pin!(sleep(patience)));
    match select(choice, late).await {
        Either::Left((chosen, _)) => chosen.map_or_else(|refused| refused, |()| Done::Yes),
        Either::Right(_) => Done::Refused,
    }
}

pub(super) async fn span(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let shape = Shape::aligned(cx.rng.u32(1..8), 1 << cx.rng.u32(..3)).expect("not empty");
    match world.numbers.arena.alloc_async(shape).await {
        Ok(span) => {
            let taken = world.numbers.hold(span);
            linger(cx).await;
            drop(taken);
            Done::Yes
        }
        Err(_) => Done::Refused,
    }
}
