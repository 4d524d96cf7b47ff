//! Spans of an arena, of single quanta and of a run.

use kva::{Arena, Shape, Span};

use super::gate::Gate;
use super::support::{arena, take};
use super::world::{Running, World, boxed};
use super::{HELD, Operation};

pub(crate) const OPERATIONS: &[Operation] = &[
    ("Arena::alloc_async", 1, || world(Shape::new(1).unwrap())),
    ("Arena::alloc_async, an aligned run", 1, || world(Shape::aligned(2, 2).unwrap())),
];

/// Free when dropped.
pub(crate) struct Taken(pub(crate) Arena, pub(crate) Span);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.free(self.1).unwrap();
    }
}

fn getting(memory: Arena, shape: Shape) -> Running {
    Box::pin(async move { boxed(memory.alloc_async(shape).await.map(|span| Taken(memory.clone(), span))) })
}

/// All of it is taken: two spans by one, and one by another.
fn world(shape: Shape) -> World {
    let memory = arena(HELD + 1);
    let held = (0..HELD).map(|_| Box::new(Taken(memory.clone(), take(&memory, 1))) as _).collect();
    let span = Some(take(&memory, 1));
    let (begins, gets) = (memory.clone(), memory.clone());
    World {
        subject: Box::new(memory.clone()),
        begin: Box::new(move || getting(begins.clone(), shape)),
        get: Box::new(move || getting(gets.clone(), Shape::new(1).unwrap())),
        held,
        memory: Some((memory, span)),
        gate: Gate::default(),
    }
}
