//! Memory, which has no guards.

use std::ptr::NonNull;

use pool::RawPool;

use super::gate::Gate;
use super::support::{arena, blocks, put, take};
use super::world::{Running, World, boxed};
use super::{HARD_LIMIT, HELD, Operation};

pub(crate) const OPERATIONS: &[Operation] = &[
    ("RawPool::get_async", 1, || world(|pool| getting(pool, false))),
    ("Request::critical, get_async", 1, || world(|pool| getting(pool, true))),
    ("Request::get_pieces_async(2)", 1, || {
        world(|pool| {
            Box::pin(async move {
                let bytes = 2 * pool.item_layout().size();
                boxed(pool.request().get_pieces_async(bytes).await)
            })
        })
    }),
    #[cfg(feature = "bytes")]
    ("RawPool::get_buffer_async", 1, || {
        world(|pool| Box::pin(async move { boxed(pool.get_buffer_async().await) }))
    }),
];

/// Puts it when dropped.
pub(crate) struct Memory(pub(crate) RawPool, pub(crate) NonNull<u8>);

// SAFETY: an item of memory that is nobody else's.
unsafe impl Send for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        put(&self.0, self.1).unwrap();
    }
}

fn getting(pool: RawPool, critical: bool) -> Running {
    Box::pin(async move {
        let request = pool.request();
        let request = if critical { request.critical() } else { request };
        boxed(request.get_async().await.map(|item| Memory(pool.clone(), item)))
    })
}

/// The arena has pages for those that are held, and another that somebody else has.
pub(crate) fn world(begin: fn(RawPool) -> Running) -> World {
    let memory = arena(HELD + 1);
    let pool = blocks(HARD_LIMIT).build(memory.clone()).unwrap();
    let held = (0..HELD).map(|_| Box::new(Memory(pool.clone(), pool.get().unwrap())) as _).collect();
    let span = Some(take(&memory, 1));
    let (begins, gets) = (pool.clone(), pool.clone());
    World {
        subject: Box::new(pool),
        begin: Box::new(move || begin(begins.clone())),
        get: Box::new(move || getting(gets.clone(), false)),
        held,
        memory: Some((memory, span)),
        gate: Gate::default(),
    }
}
