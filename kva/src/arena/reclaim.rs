//! Who may hold memory that it does not need, and how it is told that somebody is short.
//!
//! # The problem
//!
//! A reclaimer that is told *how much* is wanted finds that there is enough, spread over the
//! arena, and goes back to sleep, while somebody waits for a run (the page daemon and the
//! level-1 tables of the ARM pmap). So hooks are told of a *shape*, and of the *window*: the run
//! that this request waits for, where whatever is freed is kept for it.
//!
//! # How
//!
//! Whenever a request is queued, a window is aimed or moved, or somebody [asks](Arena::reap),
//! all hooks are owed a call. Whoever did that makes the calls, after the lock (P8), a batch at a
//! time, each with the shortage as it was when the batch was gathered. A hook is not called while
//! it runs; if it is owed another call by then, the thread that runs it makes that too. What a
//! hook frees may owe further calls: they are made by the same thread, not from within the hook,
//! so the depth of the stack does not grow with the number of hooks.
//!
//! Nobody is told of a shortage of its own: who asks has nothing to spare. Who waits for its
//! client's quota is a shortage for those who registered by a handle of the same client, and for
//! nobody else.

use std::fmt;
use std::ops::Range;

use arrayvec::ArrayVec;

use super::state::State;
use super::{AllocError, Arena, Inner, Kept};
use crate::clients::NOBODY;
use crate::grow::GrowTable;
use crate::holds::as_nobody;
use crate::placement::Placement;
use crate::shape::{Shape, Span};
use crate::sync::thread::ThreadId;
use crate::sync::{Arc, BATCH, Weak, thread};

/// Gives memory back when an arena is short; see [`Arena::register`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::{sync::Arc, time::Duration};
/// # use kva::{Arena, GrowTable, Reclaim, Region, Shape, Shortage, Span, sync::Mutex};
/// # let arena = Arena::new(Region::numbers(8), 1)?;
/// # let all = Shape::new(8)?;
/// struct Spare(Arena, Mutex<Option<Span>>);
/// impl Reclaim for Spare {
///     fn reclaim(&self, _: &Shortage<'_>) {
///         let Some(span) = self.1.lock().take() else { return }; // and unlock
///         self.0.free(span).expect("it was held");
///     }
/// }
/// let spare = Arc::new(Spare(arena.clone(), Mutex::new(Some(arena.alloc(all)?))));
/// let hook = Arc::downgrade(&spare);
/// arena.register(&GrowTable::new(0), hook); // a table of no requests: it asks for nothing
/// assert!(arena.alloc_timeout(all, Duration::from_secs(10)).is_ok(), "it was given back");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Reclaim: Send + Sync {
    /// Somebody waits. Called with no lock held, never twice at once, on the thread of whoever
    /// waits or of one whose free moved the window; it should free what it can spare and return
    /// soon, and must not wait for this arena.
    fn reclaim(&self, shortage: &Shortage<'_>);
}

/// Somebody waits for an arena: what for, and where.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::{sync::Arc, time::Duration};
/// # use kva::{Arena, GrowTable, Reclaim, Region, Shape, Shortage, Span, sync::Mutex};
/// /// Holds quanta, and gives up those that are of use.
/// struct Cache(Arena, Mutex<Vec<Span>>);
/// impl Reclaim for Cache {
///     fn reclaim(&self, shortage: &Shortage<'_>) {
///         let Some(window) = shortage.window() else { return };
///         let is_of_use = |span: &mut Span| window.contains(&span.start());
///         let given: Vec<_> = self.1.lock().extract_if(.., is_of_use).collect();
///         for span in given {
///             self.0.free(span).expect("it was held");
///         }
///     }
/// }
/// # let arena = Arena::new(Region::numbers(16), 1)?;
/// # let one = Shape::new(1)?;
/// let spans = (0..16).map(|_| arena.try_alloc(one)).collect::<Result<_, _>>()?;
/// let cache = Arc::new(Cache(arena.clone(), Mutex::new(spans)));
/// arena.register(&GrowTable::new(0), Arc::downgrade(&cache) as _);
/// let table = arena.alloc_timeout(Shape::aligned(4, 4)?, Duration::from_secs(10))?;
/// assert_eq!(cache.1.lock().len(), 12, "four of the sixteen, and no more");
/// # arena.free(table)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Shortage<'a> {
    arena: &'a Inner,
    /// Which hook is called.
    at: u32,
    whose: Whose,
    told: Told,
}

/// Whose a hook is.
#[derive(Debug, Clone, Copy)]
struct Whose {
    /// Its table of requests.
    owner: u32,
    client: u16,
}

/// What a hook is told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) placement: Placement,
    pub(super) window: Option<Range<u32>>,
}

impl fmt::Debug for Shortage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shortage")
            .field("placement", &self.told.placement)
            .field("window", &self.told.window)
            .finish()
    }
}

impl Shortage<'_> {
    /// What the oldest request waits for that is not of the hook's own owner.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.told.placement.shape()
    }

    /// Where that is wanted, in quanta of the arena: what is freed in there is kept for it. `None`:
    /// older ones are before it, or it is for a single quantum, which may be any, or it waits for the
    /// quota of its client, which the hook's owner shares.
    #[must_use]
    pub fn window(&self) -> Option<Range<u32>> {
        self.told.window.clone()
    }

    /// Where the memory of the window is; `None` for an arena of numbers, too.
    #[must_use]
    pub fn addresses(&self) -> Option<Range<usize>> {
        let window = self.told.window.clone()?;
        let (regions, quantum) = (&self.arena.regions, self.arena.quantum);
        let start = regions.address(window.start, quantum)?.addr().get();
        Some(start..start + (window.end - window.start) as usize * quantum)
    }

    /// Whether the window has quanta of `span`.
    #[must_use]
    pub fn is_within(&self, span: Span) -> bool {
        self.told
            .window
            .as_ref()
            .is_some_and(|window| span.start < window.end && window.start < span.range().end)
    }

    /// Whether nobody is short any more, but for the owner of the hook.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.arena.lock().shortage_for(self.whose).is_none()
    }

    /// Moves the window, so that it starts at the quantum `start`: the arena aims at where the
    /// least is busy, and this is for a hook that knows what can be freed. What comes free
    /// later may move it again, which is told by another call. `false`: it was not moved, as that
    /// is no place for what is wanted, or it is not wanted any more, or another hook has moved it:
    /// the first that does for a request is the only one, or two might move it for ever.
    #[must_use]
    pub fn aim(&self, start: u32) -> bool {
        self.arena.change(|state, _| state.aim_for_hook(self.at, self.whose, &self.told.placement, start))
    }

    /// A span outside the window, for who moves something out of it. It is not held up by who
    /// waits: the move is on behalf of the first of them.
    ///
    /// # Errors
    /// As [`Arena::try_alloc`].
    pub fn try_alloc_elsewhere(&self, placement: impl Into<Placement>) -> Result<Span, AllocError> {
        let placement = placement.into();
        let taken = self.arena.change(|state, _| {
            if state.closed {
                return Err(AllocError::Closed);
            }
            let taken = state.take(&placement, NOBODY).map(|busy| self.arena.span(busy));
            taken.map(|span| Kept::new(self.arena, span)).ok_or(AllocError::Scarce)
        });
        self.arena.commit(taken?.into_span())
    }
}

/// Who may hold memory it doesn't need, and the table of its own requests.
#[derive(Debug)]
struct Hook {
    whose: Whose,
    requests: usize,
    hook: Weak<dyn Reclaim>,
    /// Which call it had last.
    told: u64,
    /// Who runs it just now.
    running: Option<ThreadId>,
}

/// All hooks of an arena.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    hooks: Vec<Hook>,
    /// How many calls each was owed so far.
    owed: u64,
    /// Whether any might not have been told yet.
    owing: bool,
}

/// One call that is to be made, unlocked.
pub(super) struct Call {
    pub(super) at: u32,
    hook: Arc<dyn Reclaim>,
    whose: Whose,
    told: Told,
}

impl Call {
    /// Makes it.
    pub(super) fn make(self, arena: &Inner) {
        let shortage = Shortage { arena, at: self.at, whose: self.whose, told: self.told };
        // What it takes is not the thread's that happens to call it.
        as_nobody(|| self.hook.reclaim(&shortage));
    }
}

/// A batch of calls.
pub(super) type Calls = ArrayVec<Call, BATCH>;

impl Hooks {
    /// How many there are that may be called.
    pub(super) fn living(&self) -> usize {
        self.hooks.iter().filter(|hook| hook.hook.strong_count() > 0).count()
    }

    /// Each hook is to be called once more.
    pub(super) fn owe(&mut self) {
        self.owed += 1;
        self.owing = true;
    }

    /// Whether any might not have been told yet.
    pub(super) fn is_owing(&self) -> bool {
        self.owing
    }

    /// How many calls each was owed so far.
    pub(super) fn owed(&self) -> u64 {
        self.owed
    }

    /// Adds a hook; answers how many requests there can be in all.
    fn add(&mut self, whose: Whose, requests: usize, hook: Weak<dyn Reclaim>) -> usize {
        let is_dead = |other: &Hook| other.running.is_none() && other.hook.strong_count() == 0;
        // Owed a call: somebody may be short already.
        let new = Hook { whose, requests, hook, told: self.owed.wrapping_sub(1), running: None };
        self.owing = true;
        // In a dead one's place: none moves while somebody calls them one by one.
        match self.hooks.iter_mut().find(|other| is_dead(other)) {
            Some(dead) => *dead = new,
            None => self.hooks.push(new),
        }
        self.hooks.iter().filter(|hook| hook.hook.strong_count() > 0).map(|hook| hook.requests).sum()
    }

    /// The hook at `at` was called and has returned, or panicked.
    pub(super) fn returned(&mut self, at: u32) {
        self.hooks[at as usize].running = None;
    }
}

impl State {
    /// What the oldest request waits for that is not its own; where there is none, of those that
    /// wait for the quota of its client.
    fn shortage_for(&self, whose: Whose) -> Option<Told> {
        let mut at = self.requests.head();
        while let Some(this) = at {
            let request = self.requests.get(this);
            if request.owner() != Some(whose.owner) {
                let window = self.window_of(request);
                return Some(Told { placement: request.placement, window });
            }
            at = self.requests.after(this);
        }
        let mut held_back = self.requests.held_back_of(whose.client);
        let request = held_back.find(|request| request.owner() != Some(whose.owner))?;
        Some(Told { placement: request.placement, window: None })
    }

    /// Moves the window for the hook at `at`, which was told of `placement`.
    fn aim_for_hook(&mut self, at: u32, whose: Whose, placement: &Placement, start: u32) -> bool {
        let now = self.shortage_for(whose);
        let is_same = now.is_some_and(|now| now.window.is_some() && now.placement == *placement);
        let aimer = self.aimer.filter(|(request, _)| self.aimed_for == Some(*request));
        if !is_same || aimer.is_some_and(|(_, other)| other != at) || !self.space.aim_from(start) {
            return false;
        }
        self.aimer = self.aimed_for.map(|request| (request, at));
        if self.aimings != self.space.aimings() {
            self.aimings = self.space.aimings();
            // All but itself, who would be told of it for ever if it never had enough.
            self.hooks.owe();
            self.hooks.hooks[at as usize].told = self.hooks.owed;
        }
        true
    }

    /// Gathers the calls that are owed, for this thread to make.
    pub(super) fn gather_calls(&mut self, calls: &mut Calls) {
        if !self.hooks.owing {
            return;
        }
        let this = thread::id();
        if self.hooks.hooks.iter().any(|hook| hook.running == Some(this)) {
            return; // from within a hook: who called it goes on
        }
        self.hooks.owing = false;
        for at in 0..self.hooks.hooks.len() {
            let hook = &self.hooks.hooks[at];
            if hook.told == self.hooks.owed {
                continue;
            }
            if hook.running.is_some() || calls.is_full() {
                self.hooks.owing = true;
                continue;
            }
            let whose = hook.whose;
            let call = self.shortage_for(whose).and_then(|told| Some((told, hook.hook.upgrade()?)));
            let hook = &mut self.hooks.hooks[at];
            hook.told = self.hooks.owed;
            if let Some((told, upgraded)) = call {
                hook.running = Some(this);
                calls.push(Call { at: at as u32, hook: upgraded, whose, told });
            }
        }
    }
}

impl Arena {
    /// Makes somebody known whose requests are those of `owner`: there is room for all of
    /// them at once from now on, so that queueing them allocates nothing; and `hook` is
    /// called whenever a request has to wait, or does already, but for those of `owner`: who
    /// asks has nothing to spare. For as long as `hook` can be upgraded.
    pub fn register(&self, owner: &GrowTable, hook: Weak<dyn Reclaim>) {
        let whose = Whose { owner: owner.id(), client: self.client_id() };
        self.inner.change(|state, _| {
            let requests = state.hooks.add(whose, owner.len() as usize, hook);
            state.requests.reserve(requests);
        });
    }

    /// Calls the hooks again, and asks again who can [relocate](super::Relocate) its spans, if
    /// anybody is short: for owners of what could not be given back when they were asked, and
    /// can be now.
    pub fn reap(&self) {
        self.inner.change(|state, _| state.hooks.owe());
    }
}
