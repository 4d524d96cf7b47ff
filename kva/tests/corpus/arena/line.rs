//! Who waits for spans, as the model knows them: tasks, and tokens of somebody who asks.

use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, GrowTable, Refusal, Sink, Span, SpanGrow};

use super::World;
use super::books::Held;
use super::naive::Wish;

/// No more than an arena looks at in one go.
const MOST: usize = 12;
const TOKENS: u32 = 6;

/// Who asked for what, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) who: usize,
    pub(super) wish: Wish,
    pub(super) at: u64,
    /// How often it was passed by who came later.
    passed: u64,
}

pub(super) struct Task {
    pub(super) asked: Asked,
    future: Pin<Box<dyn Future<Output = Result<Span, AllocError>>>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicBool);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        assert!(!self.0.swap(true, SeqCst), "woken twice for one answer");
    }
}

enum Stage {
    Reserved(SpanGrow),
    /// Before it was asked for.
    Withdrawn(SpanGrow),
    Queued,
    Ended,
}

pub(super) struct Token {
    pub(super) id: GrowId,
    pub(super) asked: Asked,
    slot: u32,
    stage: Stage,
    /// It was freed something, past everybody else.
    pub(super) is_heir: bool,
}

type End = Result<Span, Refusal<AllocError>>;

#[derive(Default)]
struct Ends(Mutex<Vec<(GrowId, End)>>);

impl Sink<Span, AllocError> for Ends {
    fn finish(&self, id: GrowId, end: End) {
        self.0.lock().push((id, end));
    }
}

pub(super) struct Line {
    pub(super) bypass: u32,
    pub(super) tasks: Vec<Task>,
    pub(super) tokens: Vec<Token>,
    pub(super) table: Arc<GrowTable>,
    /// What was freed to somebody who has not asked yet.
    pub(super) parked: Vec<(GrowId, Held)>,
    /// Whether it is counted who is passed. Not where spans are given to whom they suit, whoever else
    /// waits, nor with quotas: who waits for its own is not in line, and cannot be passed.
    pub(super) counts: bool,
    ends: Arc<Ends>,
}

impl Task {
    pub(super) fn is_woken(&self) -> bool {
        self.wakes.0.load(SeqCst)
    }
}

impl Token {
    /// Whether it is still to end.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Reserved(_) | Stage::Queued)
    }

    pub(super) fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued)
    }
}

impl Line {
    pub(super) fn new(bypass: u32, counts: bool) -> Self {
        Self {
            bypass,
            tasks: Vec::new(),
            tokens: Vec::new(),
            table: GrowTable::new(TOKENS),
            parked: Vec::new(),
            counts,
            ends: Arc::default(),
        }
    }

    /// All who wait.
    pub(super) fn waits(&self) -> impl Iterator<Item = &Asked> {
        let tasks = self.tasks.iter().filter(|task| !task.is_woken()).map(|task| &task.asked);
        tasks.chain(self.tokens.iter().filter(|token| token.is_queued()).map(|token| &token.asked))
    }

    /// Whether somebody has an answer that it has not looked at.
    pub(super) fn any_unknown(&self) -> bool {
        self.tasks.iter().any(Task::is_woken)
    }

    pub(super) fn pick_task(&self, index: u8) -> Option<usize> {
        (!self.tasks.is_empty()).then(|| usize::from(index) % self.tasks.len())
    }

    pub(super) fn pick_token(&self, index: u8) -> Option<usize> {
        (!self.tokens.is_empty()).then(|| usize::from(index) % self.tokens.len())
    }

    /// When one of those who wait came.
    pub(super) fn moment(&self, index: u8) -> Option<u64> {
        let all: Vec<_> = self.waits().map(|asked| asked.at).collect();
        (!all.is_empty()).then(|| all[usize::from(index) % all.len()])
    }

    /// Whether there is room for one more.
    fn has_room(&self) -> bool {
        self.tasks.len() + self.tokens.len() < MOST
    }

    /// Somebody who came at this moment was granted a span: whoever came before was passed.
    pub(super) fn passed_by(&mut self, moment: u64) {
        let bypass = u64::from(self.bypass);
        let tasks = self.tasks.iter_mut().filter(|task| !task.is_woken()).map(|task| &mut task.asked);
        let tokens = self.tokens.iter_mut().filter(|token| token.is_queued()).map(|token| &mut token.asked);
        for asked in tasks.chain(tokens).filter(|asked| asked.at < moment) {
            asked.passed += 1;
            let most = bypass * u64::from(asked.wish.len());
            assert!(!self.counts || asked.passed <= most, "P4: {asked:?} was passed {most} times before");
        }
    }

    pub(super) fn reserve(&mut self, who: usize, wish: Wish, now: u64) {
        let slot = (0..TOKENS).find(|slot| self.tokens.iter().all(|token| token.slot != *slot));
        let Some(slot) = slot.filter(|_| self.has_room()) else { return };
        let grow = self.table.reserve(slot, now, self.ends.clone());
        let asked = Asked { who, wish, at: grow.asked_at(), passed: 0 };
        let id = grow.id();
        self.tokens.push(Token { id, asked, slot, stage: Stage::Reserved(grow), is_heir: false });
    }

    pub(super) fn withdraw(&mut self, at: u8, arena: &Arena) {
        let Some(at) = self.pick_token(at) else { return };
        let token = &mut self.tokens[at];
        assert_eq!(self.table.withdraw(token.id), token.is_open(), "nobody has committed to it");
        token.stage = match std::mem::replace(&mut token.stage, Stage::Ended) {
            Stage::Reserved(grow) | Stage::Withdrawn(grow) => Stage::Withdrawn(grow),
            Stage::Queued | Stage::Ended => Stage::Ended,
        };
        let id = token.id;
        // What is parked for it is free by this.
        self.parked.retain(|(claim, _)| *claim != id);
        arena.forget(id);
        self.tokens.retain(|token| !matches!(token.stage, Stage::Ended));
    }

    /// Where the span starts that a token was granted, if it was.
    pub(super) fn end_of(&self, id: GrowId) -> Option<u32> {
        let ends = self.ends.0.lock();
        let end = ends.iter().find(|(other, _)| *other == id);
        end.and_then(|(_, end)| end.as_ref().ok()).map(|span| span.start())
    }
}

impl World {
    /// A task comes, and looks for the first time.
    pub(super) fn begin(&mut self, who: usize, wish: Wish) {
        if !self.line.has_room() {
            return;
        }
        let before = self.before(who, &wish);
        let arena = self.who[who].clone();
        let at = self.arena().clock().now();
        let future = Box::pin(async move { arena.alloc_async(wish.placement).await });
        let asked = Asked { who, wish, at, passed: 0 };
        let mut task = Task { asked, future, wakes: Arc::default() };
        let waker = Waker::from(task.wakes.clone());
        match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(end) => self.judge(who, &wish, &before, end),
            Poll::Pending => {
                assert_eq!(before.refusal, None);
                assert_ne!(before.sure, Some(true), "{wish:?} fits, and nobody waits");
                self.line.tasks.push(task);
            }
        }
    }

    /// Looks what came for a task, in another task if it was not woken.
    pub(super) fn poll(&mut self, at: usize) {
        let task = &mut self.line.tasks[at];
        let was_woken = task.is_woken();
        let wakes = Arc::<Wakes>::default();
        if !was_woken {
            task.wakes = wakes;
        }
        let waker = Waker::from(task.wakes.clone());
        match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(end) => {
                assert!(was_woken, "whoever is answered is woken");
                let Asked { who, wish, at: moment, .. } = task.asked;
                drop(self.line.tasks.swap_remove(at));
                match end {
                    Ok(span) => {
                        self.granted(who, &wish, span);
                        self.line.passed_by(moment);
                    }
                    Err(error) => assert_eq!((error, self.is_closed), (AllocError::Closed, true)),
                }
            }
            Poll::Pending => assert!(!was_woken, "woken for nothing"),
        }
    }

    pub(super) fn poll_woken(&mut self) {
        while let Some(at) = self.line.tasks.iter().position(Task::is_woken) {
            self.poll(at);
        }
    }

    /// Asks for what was reserved.
    pub(super) fn ask(&mut self, at: u8) {
        let Some(at) = self.line.pick_token(at) else { return };
        let token = &mut self.line.tokens[at];
        let (id, Asked { who, wish, .. }) = (token.id, token.asked);
        let grow = match std::mem::replace(&mut token.stage, Stage::Ended) {
            Stage::Reserved(grow) => grow,
            Stage::Withdrawn(grow) => {
                assert!(matches!(self.who[who].ask(wish.placement, grow), Answer::Withdrawn));
                self.line.tokens.swap_remove(at);
                return;
            }
            queued => {
                token.stage = queued;
                return;
            }
        };
        // It takes what is kept for it, or lets it go.
        let kept = self.line.parked.iter().any(|(claim, _)| *claim == id);
        let mut before = self.before(who, &wish);
        // Older than others, or not: then nothing is sure but that it fits.
        before.sure = before.sure.filter(|fits| kept || *fits || self.line.waits().next().is_none());
        for (_, held) in self.line.parked.extract_if(.., |(claim, _)| *claim == id) {
            self.books.ended(held.span);
        }
        match self.who[who].ask(wish.placement, grow) {
            Answer::Now(committed, end) => {
                if let Err(error) = end {
                    assert_eq!(before.refusal, Some(error));
                } else {
                    assert!(kept || (before.refusal.is_none() && before.sure != Some(false)), "{wish:?}");
                }
                self.line.tokens[at].stage = Stage::Queued;
                committed.finish(end.map_err(Refusal::Error));
            }
            Answer::Later => {
                assert_eq!(before.refusal, None);
                assert_ne!(before.sure, Some(true), "{wish:?} fits, and nobody waits");
                self.line.tokens[at].stage = Stage::Queued;
            }
            Answer::Withdrawn => panic!("it was not withdrawn"),
            other => panic!("an arena does not answer {other:?}"),
        }
    }

    /// What the tokens were told.
    pub(super) fn take_ends(&mut self) {
        let ends = std::mem::take(&mut *self.line.ends.0.lock());
        for (id, end) in ends {
            let at = self.line.tokens.iter().position(|token| token.id == id);
            let Some(at) = at else {
                assert!(matches!(end, Err(Refusal::Abandoned)), "P5: {id:?} ended twice: {end:?}");
                continue;
            };
            let Token { asked, stage, is_heir, .. } = self.line.tokens.swap_remove(at);
            match end {
                Ok(span) => {
                    assert!(matches!(stage, Stage::Queued), "P5: {id:?} had not been asked for");
                    self.granted(asked.who, &asked.wish, span);
                    if !is_heir {
                        self.line.passed_by(asked.at);
                    }
                }
                Err(Refusal::Error(AllocError::Closed)) => assert!(self.is_closed),
                Err(Refusal::Error(error)) => {
                    assert_eq!(self.refusal(asked.who, &asked.wish), Some(error));
                }
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }
}
