//! What the feature `tokio` adds: its clock and its tasks. Each is a line of what anybody can say
//! of another runtime, by [`Builder::timer`] and [`AsyncFactory::spawned`].

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
    /// Creates objects by the futures that `create` returns, each in a task of tokio's; see
    /// [`spawned`](Self::spawned). Whoever asks must be within its runtime.
    pub fn on_tokio<F>(create: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        Self::spawned(create, |work| Aborts(tokio::spawn(work)))
    }
}
