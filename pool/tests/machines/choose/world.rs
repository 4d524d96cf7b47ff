//! Two pools and an arena, who has what of them, and who waits in which lines.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kva::{Arena, Region, Shape, Span};
use pool::RawPool;
use pool::choose::{BoxedEvent, Nack, choose, deadline, span, with_nack};
use proptest::sample::Index;

use super::super::support::{arena, assert_rests, assert_whole, blocks, put};
use super::super::tasks::Tasks;
use super::{ARENA, Branch, Op, POOLS};

enum Had {
    Item(usize, NonNull<u8>),
    Span(Span),
    Nothing,
}

/// Which branch it was, and what it came to: nothing, if that was closed.
type Won = (usize, Option<Had>);

/// Who waits for which of several, and is told which it was not.
#[derive(Clone)]
struct Chooser {
    came: usize,
    branches: Vec<Branch>,
    nacks: Rc<RefCell<Vec<(usize, Nack)>>>,
}

impl Chooser {
    /// In how many places of that line it stands.
    fn places(&self, of: usize) -> usize {
        self.branches.iter().filter(|branch| **branch == Branch::Item(of)).count()
    }

    /// Each branch that was begun was told that it was not chosen, but for the one that was.
    fn assert_told(&self, chosen: Option<usize>) {
        for (branch, nack) in self.nacks.borrow().iter() {
            assert_eq!(
                nack.is_told(),
                Some(*branch) != chosen,
                "{branch} of {:?}: {chosen:?}",
                self.branches
            );
        }
    }
}

/// What is to be had of one pool, or of the arena.
struct Looks {
    out: usize,
    waiting: usize,
    closed: bool,
}

pub(super) struct World {
    pools: Vec<RawPool>,
    spans: Arena,
    memory: Vec<Arena>,
    most: [usize; POOLS + 1],
    tasks: Tasks<Chooser, Won>,
    held: Vec<Had>,
    came: usize,
}

impl World {
    pub(super) fn new(limits: [u32; POOLS + 1]) -> Self {
        let memory: Vec<_> = limits[..POOLS].iter().map(|limit| arena(*limit as usize)).collect();
        let pool = |at: usize| blocks(limits[at]).bypass(0).build(memory[at].clone()).unwrap();
        Self {
            pools: (0..POOLS).map(pool).collect(),
            spans: Arena::with_bypass(Region::numbers(limits[ARENA]), 1, 0).unwrap(),
            memory,
            most: limits.map(|limit| limit as usize),
            tasks: Tasks::new(),
            held: Vec::new(),
            came: 0,
        }
    }

    fn looks(&self, of: usize) -> Looks {
        if of == ARENA {
            let stats = self.spans.stats();
            return Looks {
                out: (stats.quanta - stats.free) as usize,
                waiting: stats.waiting,
                closed: false,
            };
        }
        let stats = self.pools[of].stats();
        Looks { out: stats.out, waiting: stats.waiting, closed: stats.closed }
    }

    fn held_of(&self, of: usize) -> usize {
        let is_of = |had: &&Had| match had {
            Had::Item(at, _) => *at == of,
            Had::Span(_) => of == ARENA,
            Had::Nothing => false,
        };
        self.held.iter().filter(is_of).count()
    }

    /// Who stands in that line, or was served in it and does not know.
    fn line(&self, of: usize) -> Vec<usize> {
        let places = |chooser: &Chooser| vec![chooser.came; chooser.places(of)];
        self.tasks.0.iter().flat_map(|waiting| places(&waiting.about)).collect()
    }

    /// How many of those were served: nobody is overtaken, so it is the oldest.
    fn granted(&self, of: usize) -> usize {
        let looks = self.looks(of);
        if looks.closed { 0 } else { self.line(of).len() - looks.waiting }
    }

    /// Whether one who comes now could have it.
    fn is_ready(&self, branch: Branch) -> bool {
        match branch {
            Branch::Item(of) => {
                let looks = self.looks(of);
                looks.closed || (looks.waiting == 0 && looks.out < self.most[of])
            }
            Branch::Closed(of) => self.looks(of).closed,
            Branch::Moment(has_come) => has_come,
        }
    }

    fn ended(&mut self, chooser: &Chooser, (at, had): Won) {
        chooser.assert_told(Some(at));
        match (chooser.branches[at], had) {
            (Branch::Item(of), None) | (Branch::Closed(of), _) => assert!(self.looks(of).closed),
            (Branch::Moment(has_come), _) => assert!(has_come),
            (Branch::Item(_), Some(had)) => self.held.push(had),
        }
    }

    /// Who came first in a line is served first in it.
    fn poll(&mut self, at: usize) {
        let granted: Vec<_> = (0..=ARENA).map(|of| self.line(of)[..self.granted(of)].to_vec()).collect();
        let Some((chooser, won)) = self.tasks.poll(at) else { return };
        if let (Branch::Item(of), Some(_)) = (chooser.branches[won.0], &won.1) {
            let was_served = granted[of].contains(&chooser.came) || self.looks(of).closed;
            assert!(was_served, "{} has what is older ones'", chooser.came);
        }
        self.ended(&chooser, won);
    }

    fn choose(&mut self, branches: &[Branch], nests: bool) {
        self.came += 1;
        let chooser = Chooser { came: self.came, branches: branches.to_vec(), nacks: Rc::default() };
        let ready: Vec<_> = branches.iter().map(|branch| self.is_ready(*branch)).collect();
        let (pools, spans, chooses) = (self.pools.clone(), self.spans.clone(), chooser.clone());
        let ended = self.tasks.begin(
            chooser,
            Box::pin(async move {
                let events = chooses.branches.iter().enumerate();
                let mut events: Vec<_> = events
                    .map(|(at, branch)| {
                        let nacks = chooses.nacks.clone();
                        let event = event(&pools, &spans, at, *branch);
                        // Not `Send`, so not boxed as others are.
                        with_nack(move |nack| {
                            nacks.borrow_mut().push((at, nack));
                            event
                        })
                    })
                    .collect();
                if nests {
                    let others = events.split_off(events.len() / 2);
                    return choose((choose(events), choose(others))).await;
                }
                choose(events).await
            }),
        );
        assert_eq!(ended.is_some(), ready.contains(&true), "{branches:?}: {ready:?}");
        if let Some((chooser, won)) = ended {
            assert!(ready[won.0], "{branches:?}: {} could not be had", won.0);
            self.ended(&chooser, won);
        }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        let pick = |which: &Index, len: usize| (len > 0).then(|| which.index(len.max(1)));
        match op {
            Op::Choose(branches, nests) => self.choose(branches, *nests),
            Op::Get(of) => self.choose(&[Branch::Item(*of)], false),
            Op::Poll(which) => {
                let Some(at) = pick(which, self.tasks.0.len()) else { return };
                self.poll(at);
            }
            Op::Run => self.run(),
            Op::Cancel(which) => {
                let Some(at) = pick(which, self.tasks.0.len()) else { return };
                let chooser = self.tasks.0.remove(at).about;
                chooser.assert_told(None);
            }
            Op::Put(which) => {
                let Some(at) = pick(which, self.held.len()) else { return };
                self.put(at);
            }
            Op::Close(of) => self.pools[*of].close(),
        }
    }

    fn put(&mut self, at: usize) {
        match self.held.swap_remove(at) {
            Had::Item(of, item) => put(&self.pools[of], item).unwrap(),
            Had::Span(span) => self.spans.free(span).unwrap(),
            Had::Nothing => {}
        }
    }

    fn run(&mut self) {
        while let Some(at) = self.tasks.0.iter().position(super::super::tasks::Waiting::is_woken) {
            self.poll(at);
        }
    }

    pub(super) fn check(&self) {
        for of in 0..=ARENA {
            let (looks, line) = (self.looks(of), self.line(of));
            let says = format!("of {of}: {} are out, {} wait of {line:?}", looks.out, looks.waiting);
            assert!(looks.waiting <= line.len(), "{says}");
            if looks.closed {
                // Those that had been served may have it still.
                assert!(looks.waiting == 0 && looks.out >= self.held_of(of), "{says}");
                continue;
            }
            // What was not chosen is nobody's.
            assert_eq!(looks.out, self.held_of(of) + self.granted(of), "{says}");
            // P2.
            if self.tasks.is_quiet() {
                assert!(looks.waiting == 0 || looks.out == self.most[of], "it could be had: {says}");
            }
        }
    }

    /// Each of those that wait has its turn, and all is as it was.
    pub(super) fn end(mut self) {
        let waits_for_items =
            |chooser: &Chooser| chooser.branches.iter().any(|branch| matches!(branch, Branch::Item(_)));
        self.tasks.0.retain(|waiting| waits_for_items(&waiting.about));
        while !self.tasks.0.is_empty() {
            let before = self.tasks.0.len();
            self.run();
            while !self.held.is_empty() {
                self.put(0);
            }
            assert!(self.tasks.0.len() < before || !self.tasks.is_quiet(), "some wait for ever");
        }
        while !self.held.is_empty() {
            self.put(0);
        }
        for (pool, memory) in self.pools.iter().zip(&self.memory) {
            assert_rests(pool, memory);
        }
        assert_whole(&self.spans);
    }
}

/// An event that says which it is.
fn event<'a>(pools: &'a [RawPool], spans: &'a Arena, at: usize, branch: Branch) -> BoxedEvent<'a, Won> {
    match branch {
        Branch::Item(ARENA) => {
            let span = span(spans, Shape::new(1).unwrap());
            span.wrap(move |span| (at, span.ok().map(Had::Span))).boxed()
        }
        Branch::Item(of) => {
            let item = pools[of].get_event();
            item.wrap(move |item| (at, item.ok().map(|item| Had::Item(of, item)))).boxed()
        }
        Branch::Closed(of) => pools[of].closed_event().wrap(move |()| (at, Some(Had::Nothing))).boxed(),
        Branch::Moment(has_come) => {
            let late = if has_come { Duration::ZERO } else { Duration::from_hours(1) };
            deadline(Instant::now() + late).wrap(move |()| (at, Some(Had::Nothing))).boxed()
        }
    }
}
