//! Getters, each a task or a thread of its own, and what they are told.

use std::hint;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::suite::census::Maker;
use crate::suite::subject::{Get, Got, Held, Subject};

/// A getter still without an answer after this long is taken to hang. No create that ends takes
/// more than 150 ms. The longest that any have to queue are r2d2's in `spike`: 45 of them on three
/// threads, which takes 2.25 s, while puts serve its getters.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a scenario may take until it can begin. No verdict depends on it, so that it is enough
/// for a machine with other things to do.
pub(crate) const SETUP: Duration = Duration::from_secs(30);

/// Long enough for whatever was begun to come to where it waits.
const SETTLING: Duration = Duration::from_millis(100);

/// The moment at which getters begin together. They spin until then, so that those that are on
/// a core begin within nanoseconds of each other.
#[derive(Clone, Copy)]
pub(crate) struct Start(Instant);

impl Start {
    /// Long enough from now for getters to be there.
    pub(crate) fn soon() -> Self {
        Self(Instant::now() + Duration::from_millis(1))
    }

    /// How the time until then is to be spent: by letting others run, or, shortly before, not.
    fn is_far(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) > Duration::from_micros(100)
    }

    fn spin(self) {
        while Instant::now() < self.0 {
            hint::spin_loop();
        }
    }
}

/// A getter at work.
pub(crate) struct Getter(oneshot::Receiver<Got>);

/// What a getter was seen to be told.
pub(crate) enum Seen {
    Served(Held),
    Refused(String),
    Panicked,
    Unanswered,
}

impl Getter {
    /// Begins a get. What it gets is in the answer.
    pub(crate) fn keep(pool: &Subject) -> Self {
        Self::start(pool.get(), None, None, None)
    }

    /// As [`keep`](Self::keep), giving up after `patience`, which only a blocking get can.
    pub(crate) fn keep_within(pool: &Subject, patience: Duration) -> Self {
        Self::start(pool.get(), None, Some(patience), None)
    }

    /// Begins a get that puts what it gets after `hold`, and answers then.
    pub(crate) fn visit(pool: &Subject, hold: Duration) -> Self {
        Self::start(pool.get(), Some(hold), None, None)
    }

    /// As [`visit`](Self::visit), beginning with all others that have the same start.
    pub(crate) fn race(start: Start, pool: &Subject, hold: Duration) -> Self {
        Self::start(pool.get(), Some(hold), None, Some(start))
    }

    fn start(get: Get, hold: Option<Duration>, patience: Option<Duration>, start: Option<Start>) -> Self {
        let (answer, answered) = oneshot::channel::<Got>();
        // A receiver that is gone gives the object back to be dropped here, that is, put.
        match get {
            Get::Task(get) => {
                tokio::spawn(async move {
                    if let Some(start) = start {
                        while start.is_far() {
                            tokio::task::yield_now().await;
                        }
                        start.spin();
                    }
                    let mut got = get.await;
                    if let (Ok(held), Some(hold)) = (&mut got, hold) {
                        // Even no time is a millisecond to the runtime's timer.
                        if !hold.is_zero() {
                            tokio::time::sleep(hold).await;
                        }
                        *held = Box::new(());
                    }
                    let _ = answer.send(got);
                });
            }
            Get::Thread(get) => {
                thread::spawn(move || {
                    if let Some(start) = start {
                        while start.is_far() {
                            thread::yield_now();
                        }
                        start.spin();
                    }
                    let mut got = get(patience);
                    if let (Ok(held), Some(hold)) = (&mut got, hold) {
                        thread::sleep(hold);
                        *held = Box::new(());
                    }
                    let _ = answer.send(got);
                });
            }
        }
        Self(answered)
    }

    /// Waits for the answer. May be called again while it is [`Seen::Unanswered`].
    pub(crate) async fn answer(&mut self, within: Duration) -> Seen {
        match tokio::time::timeout(within, &mut self.0).await {
            Ok(Ok(Ok(held))) => Seen::Served(held),
            Ok(Ok(Err(error))) => Seen::Refused(error),
            // Its sender went without a word, unwinding.
            Ok(Err(_)) => Seen::Panicked,
            Err(_) => Seen::Unanswered,
        }
    }
}

impl Seen {
    /// What happened, as in "a later get was ...".
    pub(crate) fn words(&self) -> String {
        self.words_after(PATIENCE)
    }

    /// As [`words`](Self::words), if it was waited for so long.
    fn words_after(&self, waited: Duration) -> String {
        match self {
            Self::Served(_) => "served".into(),
            Self::Refused(error) => format!("told \"{error}\""),
            Self::Panicked => "ended by a panic".into(),
            Self::Unanswered => format!("not served within {} s", waited.as_secs()),
        }
    }

    pub(crate) fn is_served(&self) -> bool {
        matches!(self, Self::Served(_))
    }
}

/// How many of a group were told what.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) served: u32,
    pub(crate) refused: u32,
    pub(crate) panicked: u32,
    pub(crate) unanswered: u32,
}

impl Tally {
    /// Waits until all have been answered or [`PATIENCE`] is over for all of them.
    pub(crate) async fn of(getters: Vec<Getter>) -> Self {
        let mut tally = Self::default();
        let end = Instant::now() + PATIENCE;
        for mut getter in getters {
            match getter.answer(end.saturating_duration_since(Instant::now())).await {
                Seen::Served(_) => tally.served += 1,
                Seen::Refused(_) => tally.refused += 1,
                Seen::Panicked => tally.panicked += 1,
                Seen::Unanswered => tally.unanswered += 1,
            }
        }
        tally
    }

    pub(crate) fn all_served(&self) -> bool {
        self.refused + self.panicked + self.unanswered == 0
    }

    /// The kinds that there are, with their numbers.
    pub(crate) fn words(&self) -> String {
        let unanswered = format!("not served within {} s", PATIENCE.as_secs());
        let kinds = [
            (self.served, "served"),
            (self.refused, "told an error"),
            (self.panicked, "ended by a panic"),
            (self.unanswered, unanswered.as_str()),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        kinds.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// Gets `count` objects and holds all of them.
pub(crate) async fn hold(pool: &Subject, count: usize) -> anyhow::Result<Vec<Held>> {
    let getters: Vec<_> = (0..count).map(|_| Getter::keep(pool)).collect();
    let mut all = Vec::new();
    for mut getter in getters {
        match getter.answer(SETUP).await {
            Seen::Served(held) => all.push(held),
            other => anyhow::bail!("one of {count} first gets was {}", other.words_after(SETUP)),
        }
    }
    Ok(all)
}

/// Gives what was begun the time to come to rest.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLING).await;
}

/// Waits until `count` makings have begun.
pub(crate) async fn begun(maker: &Maker, count: u32) -> anyhow::Result<()> {
    let end = Instant::now() + SETUP;
    while maker.counts().begun < count {
        anyhow::ensure!(Instant::now() < end, "its creator was not called");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
