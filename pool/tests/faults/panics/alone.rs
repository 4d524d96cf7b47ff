//! Each call of a pool that one thread has for itself.

use kva::sync::Arc;
use kva::{Arena, Shape};
use pool::{Backend, Pool};

use super::callers::{Lives, Object, carved, made};
use super::world::World;
use super::{HARD_LIMIT, build, each_call_panics};
use crate::faulty::Counted;
use crate::support::{arena, assert_whole};

#[test]
fn each_call_of_a_pool_with_an_arena() {
    let kinds = [
        "back-end's ask",
        "back-end's forget",
        "back-end's release",
        "back-end's try_page",
        "constructor",
        "object's destructor",
        "reset",
        "timer's call",
        "timer's drop",
        "timer's poll",
        "validate",
        "waker's clone",
        "waker's drop",
        "waker's wake",
    ];
    each_call_panics("a pool with an arena", &kinds, |fuse| {
        let memory = arena(HARD_LIMIT as usize);
        let lives = Arc::default();
        let backend = Counted { arena: memory.clone(), fuse: fuse.clone() };
        let pool = match build(|| carved(fuse, &lives).build(backend)) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let mut world = World::new(fuse, &lives, pool);
        world.live();
        world.step(|world| drop(world.pool.try_get()));
        world.step(|world| _ = world.pool.drain());
        scarce(&mut world, &memory);
        world.serves();
        let caught = world.end();
        assert_whole(&memory);
        caught
    });
}

/// Somebody else has all of the arena. One leaves who waits for it, and one is served by it.
fn scarce<B: Backend>(world: &mut World<B>, memory: &Arena) {
    let Ok(all) = memory.try_alloc(Shape::new(HARD_LIMIT).unwrap()) else { return };
    let leaves = world.begin(None, 2);
    world.cancel(leaves);
    let waits = world.begin(None, 2);
    world.step(|_| memory.free(all).unwrap());
    world.poll(waits);
    world.poll(waits);
    world.put_all();
}

#[test]
fn each_call_of_a_pool_with_a_factory() {
    let kinds = [
        "create's call",
        "create's drop",
        "create's poll",
        "object's destructor",
        "reset",
        "timer's call",
        "validation's call",
        "validation's drop",
        "validation's poll",
        "waker's clone",
        "waker's drop",
        "waker's wake",
    ];
    each_call_panics("a pool with a factory", &kinds, |fuse| {
        let lives = Arc::<Lives>::default();
        let mut world = World::new(fuse, &lives, made(fuse, &lives).build().unwrap());
        world.live();
        world.serves();
        world.end()
    });
}

/// What is cached is swept by who wants more, by a drain, by a limit that is lowered and by a close.
#[test]
fn each_call_of_a_pool_with_caches() {
    const ITEMS: usize = 8;
    let kinds = ["back-end's release", "constructor", "object's destructor", "reset"];
    each_call_panics("a pool with caches", &kinds, |fuse| {
        let memory = arena(HARD_LIMIT as usize);
        let lives = Arc::<Lives>::default();
        let (constructs, counts, resets) = (fuse.clone(), lives.clone(), fuse.clone());
        let construct = move || {
            constructs.call("constructor");
            Object::new(&constructs, &counts)
        };
        let builder = Pool::builder(HARD_LIMIT, construct).reset(move |_| resets.call("reset"));
        let backend = Counted { arena: memory.clone(), fuse: fuse.clone() };
        let builder = builder.items_per_page(ITEMS as u32).magazine_rounds(2);
        let pool = match build(|| builder.build(backend)) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let mut world = World::new(fuse, &lives, pool);
        let fill = |world: &mut World<Counted>, items| {
            for _ in 0..items {
                world.step(|world| world.items.extend(world.pool.request().try_get_owned()));
            }
            world.put_all();
        };
        fill(&mut world, 2 * ITEMS - 2);
        if fuse.blown().is_empty() {
            assert!(world.pool.stats().cached > 0, "there are caches");
        }
        world.step(|world| drop(world.pool.try_reserve(2 * ITEMS)));
        fill(&mut world, ITEMS);
        world.step(|world| _ = world.pool.drain());
        fill(&mut world, ITEMS + 2);
        world.step(|world| world.pool.set_hard_limit(1).unwrap());
        world.step(|world| world.pool.set_hard_limit(HARD_LIMIT).unwrap());
        fill(&mut world, 3);
        world.serves();
        let caught = world.end();
        assert_whole(&memory);
        caught
    });
}
