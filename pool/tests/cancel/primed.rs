//! A pool that is being built with all its objects made: nobody else knows of it.

use std::cell::Cell;
use std::rc::Rc;

use pool::{AsyncFactory, Pool};

use super::gate::Gate;
use super::objects::create;
use super::world::{Looks, Running, Subject, World, boxed, had};
use super::{HARD_LIMIT, Operation};

pub(crate) const OPERATIONS: &[Operation] =
    &[("build_primed_async", 2, || world(HARD_LIMIT)), ("build_primed_async, one at a time", 2, || world(1))];

/// Nothing, which can be closed.
struct Nobody(Rc<Cell<bool>>);

impl Subject for Nobody {
    fn close(&self) {
        self.0.set(true);
    }
    fn lower(&self) {}
    fn looks(&self) -> Looks {
        Looks { used: 0, most: 0, idle: 0, waiting: 0 }
    }
    fn assert_rest(&self) {}
}

fn world(growing: u32) -> World {
    let gate = Gate::default();
    let creates = gate.clone();
    let begin = move || -> Running {
        let creates = creates.clone();
        let factory = AsyncFactory::new(move || create(creates.clone()));
        let building = Pool::from_factory(HARD_LIMIT, factory).max_growing(growing).build_primed_async();
        Box::pin(async { boxed(building.await) })
    };
    let closed = Rc::new(Cell::new(false));
    let is_closed = closed.clone();
    World {
        subject: Box::new(Nobody(closed)),
        begin: Box::new(begin),
        get: Box::new(move || {
            let outcome = if is_closed.get() { Err("closed".to_owned()) } else { Ok(had(())) };
            Box::pin(std::future::ready(outcome))
        }),
        held: Vec::new(),
        memory: None,
        gate,
    }
}
