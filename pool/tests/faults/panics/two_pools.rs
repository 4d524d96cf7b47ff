//! A pool of objects beside one of larger pages, and a client whose spans can be moved.

use std::task::{Context, Poll};

use kva::sync::{Arc, Mutex};
use kva::{Arena, Client, GrowTable, Reclaim, Relocate, Relocation, Shape, Shortage, Span};
use pool::{Backend, RawPool};

use super::callers::carved;
use super::world::World;
use super::{build, each_call_panics, stops};
use crate::faulty::Counted;
use crate::fuse::Fuse;
use crate::support::{QUANTUM, arena, assert_rests, poll_once, put};

/// A hook, and an owner of spans that can be moved.
struct Neighbour {
    fuse: Fuse,
    spans: Mutex<Vec<Span>>,
}

impl Reclaim for Neighbour {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.fuse.call("hook");
    }
}

impl Relocate for Neighbour {
    fn relocate(&self, from: Span, to: Span) -> Relocation {
        self.fuse.call("relocation");
        let mut spans = self.spans.lock();
        let Some(span) = spans.iter_mut().find(|span| **span == from) else { return Relocation::Later };
        *span = to;
        Relocation::Moved
    }
}

#[test]
fn each_call_of_two_pools_in_one_arena() {
    let kinds = ["back-end's yield_to_older", "hook", "relocation", "object's destructor"];
    each_call_panics("two pools in one arena", &kinds, |fuse| {
        const QUANTA: u32 = 6;
        let memory = arena(QUANTA as usize);
        let neighbour = Arc::new(Neighbour { fuse: fuse.clone(), spans: Mutex::default() });
        let hook: Arc<dyn Reclaim> = neighbour.clone();
        let owner: Arc<dyn Relocate> = neighbour.clone();
        let client = memory.client(Client::new("moves").relocate(Arc::downgrade(&owner))).unwrap();
        memory.register(&GrowTable::new(0), Arc::downgrade(&hook));
        let lives = Arc::default();
        let counted = || Counted { arena: memory.clone(), fuse: fuse.clone() };
        let small = match build(|| carved(fuse, &lives).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught,
        };
        let run = std::alloc::Layout::from_size_align(2 * QUANTUM, 2 * QUANTUM).unwrap();
        let large = match build(|| RawPool::builder(run, 1).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught + stops(|| drop(small)),
        };
        let one = std::alloc::Layout::from_size_align(QUANTUM, 8).unwrap();
        let equal = match build(|| RawPool::builder(one, 1).build(counted())) {
            Ok(pool) => pool,
            Err(caught) => return caught + stops(|| drop(small)),
        };
        let mut world = World::new(fuse, &lives, small);
        // What is in the window of a run can be moved.
        fill(&client, &neighbour);
        for start in [0, 3] {
            let one = neighbour.spans.lock().extract_if(.., |span| span.start() == start).next();
            one.inspect(|span| world.step(|_| client.free(*span).unwrap()));
        }
        large_runs(&mut world, &large, &client, &neighbour);
        // What is idle is given up for it.
        world.begin(None, 3);
        world.begin(None, 3);
        fill(&client, &neighbour);
        world.put_all();
        large_runs(&mut world, &large, &client, &neighbour);
        world.step(|_| _ = large.drain());
        older_request(&mut world, &equal, &client, &neighbour);
        world.serves();
        let caught = world.end() + stops(|| large.close()) + stops(|| equal.close());
        fuse.disarm();
        assert_rests(&equal, &memory);
        assert_rests(&large, &memory);
        caught
    });
}

/// Who is older at the arena has what is put in a pool where a younger waits.
fn older_request<B: Backend>(
    world: &mut World<B>,
    equal: &RawPool<Counted>,
    client: &Arena,
    neighbour: &Neighbour,
) {
    world.begin(None, 3);
    world.begin(None, 3);
    fill(client, neighbour);
    let fuse = world.fuse.clone();
    let mut older = Some(Box::pin(equal.get_async()));
    let mut had = fuse.pause(|| poll_once(older.as_mut().unwrap().as_mut()));
    let younger = world.begin(None, 2);
    world.put();
    world.put();
    if had.is_pending() {
        had = fuse.pause(|| poll_once(older.as_mut().unwrap().as_mut()));
    }
    world.poll(younger);
    world.cancel(younger);
    world.caught += stops(|| drop(older.take()));
    if let Poll::Ready(Ok(item)) = had {
        world.step(|_| put(equal, item).unwrap());
    }
    free(client, neighbour, &mut world.caught);
}

/// The neighbour takes all that is free, and then lets every second go.
fn fill(client: &Arena, neighbour: &Neighbour) {
    while let Ok(span) = client.try_alloc(Shape::new(1).unwrap()) {
        neighbour.spans.lock().push(span);
    }
}

fn free(client: &Arena, neighbour: &Neighbour, caught: &mut usize) {
    loop {
        let Some(span) = neighbour.spans.lock().pop() else { return };
        *caught += stops(|| client.free(span).unwrap());
    }
}

/// A run is wanted where singles lie; one who wants it gives up, another has it.
fn large_runs<B: Backend>(
    world: &mut World<B>,
    large: &RawPool<Counted>,
    client: &Arena,
    neighbour: &Neighbour,
) {
    for polls in [1, 4] {
        let mut getting = Some(Box::pin(large.get_async()));
        for _ in 0..polls {
            let Some(mut future) = getting.take() else { break };
            let (mut still, mut had) = (None, None);
            world.step(|world| {
                let waker = world.fuse.waker();
                match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(item) => had = item.ok(),
                    Poll::Pending => still = Some(future),
                }
            });
            getting = still;
            if let Some(item) = had {
                world.step(|_| put(large, item).unwrap());
            } else {
                let first = neighbour.spans.lock().first().copied();
                if let Some(span) = first {
                    neighbour.spans.lock().retain(|other| *other != span);
                    world.step(|_| client.free(span).unwrap());
                }
            }
        }
        world.step(|_| drop(getting));
    }
    free(client, neighbour, &mut world.caught);
}
