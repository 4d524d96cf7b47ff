//! The tasks that send requests, and how each goes on when one fails.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::ProgressBar;
use kva::sync::atomic::{AtomicU64, Ordering::Relaxed};
use kva::sync::{Arc, Mutex};
use pool::{AsyncFactory, GetError, Item, Pool};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Error};
use super::report::complain;

pub(crate) type Connections = Pool<Client, AsyncFactory<Client, Error>>;

/// How long a task leaves a server alone that has failed it.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Why a request was not done. Its first words are the kind that is counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("stopped")]
    Stopped,
    #[error("no connection in time")]
    Late,
    #[error("no connection")]
    Pool(#[source] GetError<Error>),
    #[error(transparent)]
    Server(#[from] Error),
}

impl From<GetError<Error>> for Failure {
    fn from(error: GetError<Error>) -> Self {
        match error {
            GetError::Backend(error) => Self::Server(error),
            other => Self::Pool(other),
        }
    }
}

/// What the tasks share.
pub(crate) struct Load {
    pub(crate) pool: Connections,
    /// For each task; `None`: until it is stopped.
    pub(crate) requests: Option<u64>,
    pub(crate) tasks: u64,
    pub(crate) timeout: Duration,
    /// How many requests a connection is used for.
    pub(crate) uses: u32,
    pub(crate) stop: CancellationToken,
    pub(crate) bar: ProgressBar,
    pub(crate) done: AtomicU64,
    /// Half of all requests are done.
    pub(crate) half: Notify,
    pub(crate) errors: Mutex<BTreeMap<String, u64>>,
}

impl Load {
    /// How many requests there are in all, if that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        self.requests.map(|requests| requests * self.tasks)
    }

    /// Puts the load on, until all is done or it is stopped.
    pub(crate) async fn run(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut tasks: JoinSet<()> = (0..self.tasks).map(|task| self.clone().task(task)).collect();
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(())
    }

    async fn task(self: Arc<Self>, task: u64) {
        let key = format!("pool-clients:{}:{task}", std::process::id());
        for number in 0..self.requests.unwrap_or(u64::MAX) {
            let text = format!("{task}/{number}");
            loop {
                match self.request(&key, &text).await {
                    Ok(()) => break,
                    Err(Failure::Stopped) => return,
                    Err(failure) => self.count(failure),
                }
                self.stop.run_until_cancelled(sleep(BACK_OFF)).await;
            }
            let done = 1 + self.done.fetch_add(1, Relaxed);
            if self.total().is_some_and(|total| done == total.div_ceil(2)) {
                self.half.notify_one();
            }
        }
    }

    async fn request(&self, key: &str, text: &str) -> Result<(), Failure> {
        let get = timeout(self.timeout, self.pool.get_async());
        let got = self.stop.run_until_cancelled(get).await.ok_or(Failure::Stopped)?;
        let mut connection = got.map_err(|_late| Failure::Late)??;
        let answered = connection.request(key, text).await;
        if answered.as_ref().is_err_and(Error::is_broken) || connection.uses >= self.uses {
            // Not to be put back: the next would get it.
            Item::discard(connection);
        }
        Ok(answered?)
    }

    /// Counts a failure, and says aloud what the first of its kind was.
    fn count(&self, failure: Failure) {
        let kind = failure.to_string();
        let first = {
            let mut errors = self.errors.lock();
            let count = errors.entry(kind).or_default();
            *count += 1;
            *count == 1
        };
        if first {
            self.say(&format!("{:#}", anyhow::Error::new(failure)));
        }
    }

    /// Above the bar, if there is one.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| complain(text));
    }
}
