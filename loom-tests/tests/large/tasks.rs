//! Many tasks on few threads, in the queue of one pool of objects: each thread drives several, drops
//! some, and waits itself; others reserve.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use kva::sync::LeakCheck;
use loom_tests::run::model;
use loom_tests::world::{Shelves, assert_arena_whole, block_on};
use pool::Pool;

use crate::dice::{below, one_in, pause};
use crate::holders::{join_all, threads};

/// As large as a quantum.
#[repr(align(64))]
struct Object {
    /// Whose it is now.
    holder: Option<usize>,
    _leak: LeakCheck,
}

type Getter = Pin<Box<dyn Future<Output = ()> + Send>>;

const THREADS: usize = 8;
const TASKS: usize = 5;

/// Has the object for a while, across an await.
async fn hold(pool: Pool<Object>, task: usize) {
    let mut object = pool.get_owned_async().await.unwrap();
    assert_eq!(object.holder.replace(task), None, "two have one object");
    yield_once().await;
    assert_eq!(object.holder.take(), Some(task), "two have one object");
}

async fn yield_once() {
    let mut before = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut before, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Drives them all until each has ended, or was dropped, which is as good.
async fn drive(mut tasks: Vec<Getter>) {
    poll_fn(|context| {
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        if !tasks.is_empty() && one_in(4) {
            let dropped = tasks.swap_remove(below(tasks.len()));
            drop(dropped);
        }
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn world() {
    let mut shelves = Shelves::new();
    // SAFETY: the pool is dropped below, with nothing out.
    let arena = unsafe { shelves.arena(4) };
    let object = || Object { holder: None, _leak: LeakCheck::new() };
    let pool = Pool::builder(4, object).reset(|object| object.holder = None).build(arena.clone()).unwrap();
    join_all(threads(THREADS, {
        let pool = pool.clone();
        move |at| match at % 4 {
            0 => {
                let mut set_aside = block_on(pool.request().reserve_async(2)).unwrap();
                drop(set_aside.get());
                pause();
            }
            1 => block_on(hold(pool.clone(), at)),
            _ => {
                let tasks = (0..TASKS).map(|task| Box::pin(hold(pool.clone(), at * TASKS + task)) as Getter);
                block_on(drive(tasks.collect()));
            }
        }
    }));
    pool.drain();
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.out, stats.waiting), (0, 0, 0, 0), "rest: {stats:?}");
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn many_tasks_on_few_threads() {
    model("large/tasks", world);
}
