//! What the feature `tokio` adds: its clock and its tasks. Each is a line of what anybody can say
//! of another runtime, by [`Builder::timer`] and [`AsyncFactory::spawned`].

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::{AsyncFactory, Builder};

impl<Of> Builder<Of> {
    /// Lets tokio wake async getters when their time is up; see [`timer`](Self::timer). They are
    /// then to be polled on a runtime of tokio's that has its time enabled.
    pub fn tokio_timer(self) -> Self {
        self.timer(|moment| sleep_until(moment.into()))
    }
}

/// Aborts the task when dropped.
struct Aborts(JoinHandle<()>);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static, E: Send + 'static> AsyncFactory<T, E> {
    /// Creates objects by the futures that `create` returns, each in a task of the runtime that
    /// this is called in; see [`spawned`](Self::spawned). Threads outside of it may get, too.
    ///
    /// # Panics
    /// If it is called in no runtime of tokio's.
    pub fn on_tokio<F>(create: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let runtime = Handle::current();
        Self::spawned(create, move |work| Aborts(runtime.spawn(work)))
    }
}
