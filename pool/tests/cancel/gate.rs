//! Steps of callers' futures, each of which waits until it is let through; and what is counted as long as
//! it is there.

use std::task::{Poll, Waker};

use kva::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    open: usize,
    wakers: Vec<Waker>,
    /// Creations and objects there are.
    live: usize,
}

impl Gate {
    /// Lets everybody through the first so many steps.
    pub(crate) fn open(&self, steps: usize) {
        let mut waits = self.0.lock();
        waits.open = waits.open.saturating_add(steps);
        let wakers = std::mem::take(&mut waits.wakers);
        drop(waits);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn shut(&self) {
        self.0.lock().open = 0;
    }

    pub(crate) async fn pass(self, step: usize) {
        std::future::poll_fn(|context| {
            let mut waits = self.0.lock();
            if waits.open > step {
                return Poll::Ready(());
            }
            waits.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn counted(&self) -> Counted {
        self.0.lock().live += 1;
        Counted(self.clone())
    }

    pub(crate) fn live(&self) -> usize {
        self.0.lock().live
    }
}

/// What is counted as long as it is there.
pub(crate) struct Counted(Gate);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.lock().live -= 1;
    }
}
