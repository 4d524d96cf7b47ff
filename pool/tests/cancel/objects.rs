//! Objects in memory of an arena, and those that are made by futures.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use kva::{Arena, Span};
use pool::{AsyncFactory, Backend, Pool, Request};

use super::gate::{Counted, Gate};
use super::support::{Block, arena, objects, take};
use super::world::{Running, World, boxed};
use super::{HARD_LIMIT, HELD, Operation};

pub(crate) const OPERATIONS: &[Operation] = &[
    ("Pool::get_async", 1, || {
        with_arena(0, plain, |pool, _| {
            let pool = pool.clone();
            Box::pin(async move { boxed(pool.get_async().await.map(drop)) })
        })
    }),
    ("Pool::get_owned_async", 1, || with_arena(0, plain, |pool, _| owned(pool.request()))),
    ("Request::timeout, with a timer", 1, || {
        with_arena(0, with_timer, |pool, _| owned(pool.request().timeout(Duration::from_hours(1))))
    }),
    ("Request::grow_timeout, with a timer", 1, || {
        with_arena(0, with_timer, |pool, _| owned(pool.request().grow_timeout(Duration::from_hours(1))))
    }),
    ("get_owned_async, validate_async", 2, || with_arena(0, validating, |pool, _| owned(pool.request()))),
    ("Request::reserve_async(2)", 1, || with_arena(0, plain, |pool, _| reserved(pool.request()))),
    ("reserve_async(2), validate_async", 2, || with_arena(1, validating, |pool, _| reserved(pool.request()))),
    ("AsyncFactory, get_owned_async", 2, || with_factory(false, |pool, _| owned(pool.request()))),
    ("AsyncFactory, validate_async", 1, || with_factory(true, |pool, _| owned(pool.request()))),
    ("AsyncFactory, reserve_async(2)", 2, || with_factory(false, |pool, _| reserved(pool.request()))),
];

/// What a pool of objects is asked for.
pub(crate) type Begin<T, B> = fn(&Pool<T, B>, &Gate) -> Running;
pub(crate) type Made = AsyncFactory<Counted, Infallible>;

fn owned<T: Send + 'static, B: Backend<Error: Debug>>(request: Request<'_, Pool<T, B>>) -> Running {
    let getting = request.get_owned_async();
    Box::pin(async { boxed(getting.await) })
}

fn reserved<T: Send + 'static, B: Backend<Error: Debug>>(request: Request<'_, Pool<T, B>>) -> Running {
    let reserving = request.reserve_async(2);
    Box::pin(async { boxed(reserving.await) })
}

/// Two are held, of which so many are `idle`.
fn world<T: Send + 'static, B: Backend<Error: Debug>>(
    pool: Pool<T, B>,
    idle: usize,
    gate: Gate,
    memory: Option<(Arena, Option<Span>)>,
    begin: Begin<T, B>,
) -> World {
    let mut held: Vec<_> = (0..HELD).map(|_| Box::new(pool.get_owned().unwrap()) as _).collect();
    held.truncate(HELD - idle);
    let memory = memory.map(|(memory, _)| {
        let span = take(&memory, 1);
        (memory, Some(span))
    });
    gate.shut();
    let (begins, opens, gets) = (pool.clone(), gate.clone(), pool.clone());
    World {
        subject: Box::new(pool),
        begin: Box::new(move || begin(&begins, &opens)),
        get: Box::new(move || owned(gets.request())),
        held,
        memory,
        gate,
    }
}

/// The arena has pages for those that are held, and another that somebody else has.
pub(crate) fn with_arena(
    idle: usize,
    pool: impl FnOnce(Arena, &Gate) -> Pool<Block>,
    begin: Begin<Block, Arena>,
) -> World {
    let memory = arena(HELD + 1);
    let gate = Gate::default();
    let pool = pool(memory.clone(), &gate);
    world(pool, idle, gate, Some((memory, None)), begin)
}

/// A creation takes two steps.
pub(crate) async fn create(gate: Gate) -> Result<Counted, Infallible> {
    let _begun = gate.counted();
    gate.clone().pass(0).await;
    gate.clone().pass(1).await;
    Ok(gate.counted())
}

/// `validates`: what is got again takes a step, and one of them is idle.
pub(crate) fn with_factory(validates: bool, begin: Begin<Counted, Made>) -> World {
    let gate = Gate::default();
    let creates = gate.clone();
    let mut builder = Pool::from_factory(HARD_LIMIT, AsyncFactory::new(move || create(creates.clone())));
    if validates {
        let gate = gate.clone();
        builder = builder.validate_async(move |_| Box::pin(good(gate.clone())));
    }
    let pool = builder.build().unwrap();
    gate.open(2);
    world(pool, usize::from(validates), gate, None, begin)
}

/// A sleep that ends when it is told to: never.
fn with_timer(memory: Arena, _: &Gate) -> Pool<Block> {
    objects(HARD_LIMIT).timer(|_| std::future::pending()).build(memory).unwrap()
}

pub(crate) fn plain(memory: Arena, _: &Gate) -> Pool<Block> {
    objects(HARD_LIMIT).build(memory).unwrap()
}

/// What is got again takes a step to validate.
pub(crate) fn validating(memory: Arena, gate: &Gate) -> Pool<Block> {
    let gate = gate.clone();
    objects(HARD_LIMIT).validate_async(move |_| Box::pin(good(gate.clone()))).build(memory).unwrap()
}

async fn good(gate: Gate) -> bool {
    gate.pass(0).await;
    true
}
