//! One object, and many who wait for it: tasks, all polled by one thread. It is put, which serves the
//! oldest; that one is polled, and waits anew.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicU64, Ordering};
use pool::{Item, Pool};

use crate::arena;
use crate::case::{Bench, Case};
use crate::contestants::OURS;
use crate::subject::{Block, USUAL, touch};
use crate::subjects::ours::Ours;
use crate::threads::{mean_ns, together};
use crate::workloads::warm_up;

type Object<'p> = Item<'p, Block<USUAL>>;

/// Adds the case of so many.
pub(super) fn add(cases: &mut Vec<Case>, waiting: usize) {
    let measure = move |operations| measure(waiting, operations);
    cases.push(Case::counted(Bench::Scale, format!("waiters {waiting}"), OURS, 1, measure));
}

/// Who waits, in a ring: behind the oldest is the next oldest.
struct Line<M, F> {
    anew: M,
    waiting: Vec<Pin<Box<F>>>,
    oldest: usize,
}

impl<'p, E: Debug, M, F> Line<M, F>
where
    M: Fn() -> F,
    F: Future<Output = Result<Object<'p>, E>>,
{
    fn new(anew: M, waiting: usize, task: &mut Context<'_>) -> Self {
        let mut line = Self { waiting: (0..waiting).map(|_| Box::pin(anew())).collect(), anew, oldest: 0 };
        line.waiting.iter_mut().for_each(|waiter| waits(waiter.as_mut(), task));
        line
    }

    /// Puts `object`, and whatever is got for it, so many times; what was got last.
    #[inline(never)]
    fn serve(&mut self, mut object: Object<'p>, times: u64, task: &mut Context<'_>) -> Object<'p> {
        for _ in 0..times {
            touch::<&Ours<USUAL>>(&mut object);
            drop(object);
            let waiter = &mut self.waiting[self.oldest];
            let Poll::Ready(got) = waiter.as_mut().poll(task) else { panic!("the oldest is served") };
            object = got.expect("the pool is open");
            waiter.set((self.anew)());
            waits(waiter.as_mut(), task);
            self.oldest += 1;
            if self.oldest == self.waiting.len() {
                self.oldest = 0;
            }
        }
        object
    }
}

fn waits<F: Future>(waiter: Pin<&mut F>, task: &mut Context<'_>) {
    assert!(waiter.poll(task).is_pending(), "nothing is left");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nanoseconds to put, serve, and wait anew, of so many times.
fn measure(waiting: usize, operations: u64) -> f64 {
    let builder = Pool::builder(1, Block::<USUAL>::default).items_per_page(1);
    let pool = builder.build(arena(1 << 20)).expect("a good pool");
    let woken = Arc::new(Count::default());
    let times = together(1, |start| {
        let waker = Waker::from(woken.clone());
        let mut task = Context::from_waker(&waker);
        let object = pool.get().expect("an object");
        let mut line = Line::new(|| pool.get_async(), waiting, &mut task);
        let object = line.serve(object, warm_up(operations), &mut task);
        start.time_alone(|| drop(line.serve(object, operations, &mut task)))
    });
    assert!(woken.0.load(Ordering::Relaxed) >= operations, "each is woken");
    mean_ns(&times, operations)
}
