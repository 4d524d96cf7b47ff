//! Pools with the flaws that the scenarios are for, so that each scenario is seen to catch one.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;

use kva::sync::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::suite::census::{Maker, Object, Refused};
use crate::suite::subject::{BoxFuture, Get, Peer, Probed, Setup, Subject, task};

/// It looks before it counts, never gives a place back, does not see that a waiter has left, and
/// knows neither a lower limit nor an end.
pub(crate) const HASTY: Peer = peer("hasty", |setup| build(setup, false));

/// It makes objects with a lock held that every getter takes first.
pub(crate) const LOCKED: Peer = peer("locked", |setup| build(setup, true));

const fn peer(name: &'static str, build: fn(Setup) -> BoxFuture<anyhow::Result<Subject>>) -> Peer {
    Peer { name, package: "benches", setup: "", lacks: &[], build }
}

fn build(setup: Setup, locked: bool) -> BoxFuture<anyhow::Result<Subject>> {
    let naive = Naive {
        maker: setup.maker,
        limit: setup.limit,
        locked: locked.then(AsyncMutex::default),
        state: Mutex::new(State::default()),
    };
    Box::pin(ready(Ok(Arc::new(Handle(Arc::new(naive))) as Subject)))
}

#[derive(Default)]
struct State {
    idle: Vec<Object>,
    places: usize,
    waiters: VecDeque<oneshot::Sender<Object>>,
}

struct Naive {
    maker: Maker,
    limit: usize,
    locked: Option<AsyncMutex<()>>,
    state: Mutex<State>,
}

struct Handle(Arc<Naive>);

struct Lent {
    object: Option<Object>,
    pool: Arc<Naive>,
}

impl Naive {
    async fn get(self: Arc<Self>) -> Result<Lent, Refused> {
        let lock = match &self.locked {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let idle = self.state.lock().idle.pop();
        let object = match idle {
            Some(object) => object,
            None if self.has_place() => {
                tokio::task::yield_now().await;
                self.state.lock().places += 1;
                self.maker.clone().make_async().await?
            }
            None => {
                drop(lock);
                let (waiter, served) = oneshot::channel();
                self.state.lock().waiters.push_back(waiter);
                served.await.map_err(|_| Refused::from("the pool is gone"))?
            }
        };
        Ok(Lent { object: Some(object), pool: self.clone() })
    }

    fn has_place(&self) -> bool {
        self.state.lock().places < self.limit
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        let mut state = self.pool.state.lock();
        let waiter = state.waiters.pop_front();
        match waiter {
            // A waiter that has left takes the object with it.
            Some(waiter) => drop(waiter.send(object)),
            None => state.idle.push(object),
        }
    }
}

impl Probed for Handle {
    fn get(&self) -> Get {
        task(self.0.clone().get())
    }

    fn resize(&self, _: usize) -> BoxFuture<()> {
        Box::pin(ready(()))
    }

    fn close(&self) {}
}
