//! One run: an operation is polled once before each event, and dropped after the last.

use std::task::{Context, Poll};

use kva::sync::Arc;

use super::HELD;
use super::support::{Task, poll_once};
use super::world::{Running, World};

/// What happens between two polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    Put,
    Page,
    Close,
    Lower,
    /// Somebody else begins to wait.
    Rival,
}

pub(crate) const EVENTS: [Event; 6] =
    [Event::Nothing, Event::Put, Event::Page, Event::Close, Event::Lower, Event::Rival];

/// What one run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// How often it awaited something: what it was woken for was not the end of it.
    pub(crate) awaits: usize,
    /// Whether it ended. Else it was dropped while it waited, or before it was polled at all.
    pub(crate) ended: bool,
}

/// Polls once before each event, and drops the future after the last.
pub(crate) fn run(mut world: World, events: &[Event]) -> Run {
    let (task, waker) = Task::new();
    let mut running = (world.begin)();
    let mut had = None;
    let mut awaits = 0;
    let mut rivals: Vec<(Arc<Task>, Running)> = Vec::new();
    let mut closed = false;
    let bound = world.subject.looks().most;
    for (at, event) in events.iter().enumerate() {
        let woken = at == 0 || task.woken() > 0;
        task.woken.store(0, kva::sync::atomic::Ordering::SeqCst);
        match running.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => had = Some(outcome),
            Poll::Pending => awaits += usize::from(woken),
        }
        assert!(woken || had.is_none(), "it was not woken for what it has: {events:?}");
        if had.is_some() {
            break;
        }
        match event {
            Event::Nothing => {}
            Event::Put => world.put(),
            Event::Page => world.page(),
            Event::Lower => world.subject.lower(),
            Event::Close => {
                closed = true;
                world.subject.close();
            }
            Event::Rival => {
                let (task, mut rival) = (Task::new().0, (world.get)());
                if task.poll(rival.as_mut()).is_pending() {
                    rivals.push((task, rival));
                }
            }
        }
        assert!(world.subject.looks().used <= bound, "P1: {events:?}");
    }
    let ended = had.is_some();
    drop((running, had));
    assert_served(&mut world, rivals, closed, events);
    world.assert_rest();
    Run { awaits, ended }
}

/// P2, after the operation is gone.
fn assert_served(world: &mut World, rivals: Vec<(Arc<Task>, Running)>, closed: bool, events: &[Event]) {
    // Who waits beside what is idle was told. Who is being validated is not in line.
    let looks = world.subject.looks();
    let told = rivals.iter().any(|(task, _)| task.woken() > 0);
    let is_fine = looks.idle == 0 || looks.waiting == 0 || told;
    assert!(is_fine, "somebody waits beside what is idle: {events:?}");
    // Each of those who wait has its turn, polled only as it is woken, when all that others have is put.
    for _ in 0..HELD {
        world.put();
    }
    for _ in 0..2 {
        world.page();
    }
    for (at, (task, mut rival)) in rivals.into_iter().enumerate() {
        let mut outcome = Poll::Pending;
        for _ in 0..4 {
            outcome = task.poll_if_woken(rival.as_mut());
            if outcome.is_ready() {
                break;
            }
        }
        let Poll::Ready(outcome) = outcome else { panic!("rival {at} waits for ever: {events:?}") };
        // Of a closed pool it may have an object, if that was being validated by then.
        assert!(closed || outcome.is_ok(), "rival {at}: {:?}: {events:?}", outcome.err());
    }
    let mut next = (world.get)();
    let next = (0..4).find_map(|_| match poll_once(next.as_mut()) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    });
    let next = next.unwrap_or_else(|| panic!("the next getter waits for ever: {events:?}"));
    assert_eq!(next.is_err(), closed, "the next getter: {:?}: {events:?}", next.err());
}
