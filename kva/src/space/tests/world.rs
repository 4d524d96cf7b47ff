//! A space beside a vector of who has each quantum.
//!
//! The vector says who holds what; the window is the space's own, and is judged. All else that
//! the space knows follows from these two.

use std::ops::Range;

use crate::placement::{Fit, Placement};
use crate::shape::Shape;
use crate::space::{Busy, Runs, Space};

/// A placement in small numbers, most of which mean one that is possible.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) len: u32,
    pub(super) align_log: u32,
    pub(super) phase: u32,
    /// 0: none; else that many powers of two above the length.
    pub(super) nocross: u32,
    pub(super) room: Option<(u32, u32)>,
    pub(super) best: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Take(Wanted, u32),
    TakeAt(u32, u32),
    Give(u32),
    PassOn(u32, u32, u32),
    Split(u32, u32),
    Aim(Wanted),
    Unaim,
    Claim(u32),
    Add(u32, usize),
}

struct Part {
    first: u32,
    n: u32,
    origin: usize,
}

pub(super) struct World {
    pub(super) space: Space,
    parts: Vec<Part>,
    owner: Vec<Option<u32>>,
    pub(super) held: Vec<(Busy, u32)>,
    window: Option<(u32, Placement)>,
    aimings: u64,
    /// Whether each operation is judged by all that was possible, or by what came of it.
    pub(super) thorough: bool,
}

impl World {
    pub(super) fn new(n: u32, origin: usize) -> Self {
        Self {
            space: Space::new(n, origin).unwrap(),
            parts: vec![Part { first: 0, n, origin }],
            owner: vec![None; n as usize],
            held: Vec::new(),
            window: None,
            aimings: 0,
            thorough: true,
        }
    }

    pub(super) fn placement(&self, wanted: &Wanted) -> Placement {
        let size = self.owner.len() as u32;
        let mut placement = Placement::from(Shape::aligned(wanted.len, 1 << wanted.align_log).unwrap());
        if wanted.phase > 0 {
            placement = placement.phase(wanted.phase % (1 << wanted.align_log)).unwrap();
        }
        if wanted.nocross > 0 {
            let boundary = wanted.len.next_power_of_two() << (wanted.nocross - 1);
            placement = placement.nocross(boundary).unwrap();
        }
        if let Some((a, b)) = wanted.room {
            let (a, b) = (a % (size + 1), b % (size + 1));
            placement = placement.within(a.min(b)..a.max(b)).unwrap_or(placement);
        }
        placement.fit(if wanted.best { Fit::Best } else { Fit::Instant })
    }

    /// Where it might start if nothing were busy.
    fn places(&self, placement: &Placement) -> impl Iterator<Item = u32> {
        self.places_in(placement, 0..u32::MAX)
    }

    fn places_in(&self, placement: &Placement, starts: Range<u32>) -> impl Iterator<Item = u32> {
        let (len, room) = (placement.shape().len(), placement.room());
        self.parts.iter().flat_map(move |part| {
            let end = (part.first + part.n).min(room.end);
            let starts =
                part.first.max(room.start).max(starts.start)..(end + 1).saturating_sub(len).min(starts.end);
            starts.filter(move |start| {
                let position = part.origin as u64 + u64::from(start - part.first);
                placement.first_from(position) == Some(position)
            })
        })
    }

    fn busy_in(&self, start: u32, len: u32) -> u32 {
        self.owner[start as usize..(start + len) as usize].iter().flatten().count() as u32
    }

    fn window_quanta(&self) -> Range<u32> {
        self.window.map_or(0..0, |(start, placement)| start..start + placement.shape().len())
    }

    fn is_free(&self, start: u32, len: u32) -> bool {
        let window = self.window_quanta();
        let outside = start >= window.end || start + len <= window.start || window.is_empty();
        outside && self.owner[start as usize..(start + len) as usize].iter().all(Option::is_none)
    }

    /// The free runs, as start and length, in order.
    fn free_runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for part in &self.parts {
            let mut joins = false;
            for at in part.first..part.first + part.n {
                let free = self.is_free(at, 1);
                match runs.last_mut() {
                    Some(run) if free && joins => run.1 += 1,
                    _ if free => runs.push((at, 1)),
                    _ => {}
                }
                joins = free;
            }
        }
        runs
    }

    fn take_note(&mut self, busy: Busy, client: u32) {
        self.owner[busy.start as usize..busy.end() as usize].fill(Some(client));
        self.held.push((busy, client));
    }

    fn pick(&self, index: u32) -> Option<usize> {
        (!self.held.is_empty()).then(|| index as usize % self.held.len())
    }

    fn take(&mut self, wanted: &Wanted, client: u32) {
        let placement = self.placement(wanted);
        let len = placement.shape().len();
        let good = |world: &Self, starts| -> Vec<u32> {
            world.places_in(&placement, starts).filter(|&start| world.is_free(start, len)).collect()
        };
        let before = self.thorough.then(|| {
            let possible = self.space.could_ever_fit(&placement);
            assert_eq!(possible, self.places(&placement).next().is_some());
            (good(self, 0..u32::MAX), self.free_runs())
        });
        let Some(busy) = self.space.take(&placement, client) else {
            return assert_eq!(good(self, 0..u32::MAX), [], "{placement:?}");
        };
        assert!(busy.len == len && !good(self, busy.start..busy.start + 1).is_empty(), "{busy:?}");
        if let Some((good, runs)) = before.filter(|_| wanted.best) {
            let run_of =
                |at: u32| runs.iter().find(|(start, len)| (*start..start + len).contains(&at)).unwrap().1;
            let best = good.iter().map(|&at| run_of(at)).min().unwrap();
            assert!(run_of(busy.start) <= best + best / 8 + 1, "a run of {best} was there");
        }
        self.take_note(busy, client);
    }

    /// What is right of the window after these quanta were given.
    fn judge_move(&mut self, before: Option<Range<u32>>, given: Range<u32>) {
        let Some((start, placement)) = self.window else { return };
        let len = placement.shape().len();
        let before = before.unwrap();
        let stayed = self.busy_in(start, len);
        let now = self.space.window().expect("a give leaves the window");
        let rivals = self.places_in(&placement, (given.start + 1).saturating_sub(len)..given.end);
        let least = rivals.map(|at| self.busy_in(at, len)).min();
        assert!(least != Some(0) || self.busy_in(now.start, len) == 0, "a place has nothing busy");
        if now == before {
            assert_eq!(self.space.aimings(), self.aimings);
        } else {
            assert_eq!(self.space.aimings(), self.aimings + 1);
            let mut here = self.places_in(&placement, now.start..now.start + 1);
            assert!(here.next().is_some(), "moved to no good place");
            assert!(self.busy_in(now.start, len) < stayed, "moved, and not for the better");
            assert!(now.start < given.end && now.end > given.start);
        }
        if len < 32 && given.end - given.start + len <= 64 {
            let least = least.map_or(stayed, |least| least.min(stayed));
            assert_eq!(self.busy_in(now.start, len), least, "the best place around {given:?}");
        }
        self.aimings = self.space.aimings();
        self.window = Some((now.start, placement));
    }

    fn aim(&mut self, placement: Placement) {
        let (len, align) = (placement.shape().len(), placement.shape().align());
        let least = self.places(&placement).map(|at| self.busy_in(at, len)).min();
        self.space.aim(&placement);
        self.window = self.space.window().map(|window| (window.start, placement));
        assert_eq!(self.window.is_some(), least.is_some());
        let (Some((start, _)), Some(least)) = (self.window, least) else { return };
        self.aimings += 1;
        assert!(self.places(&placement).any(|at| at == start), "aimed at no good place");
        let stride = len / 16 / align * align;
        let slack = if stride > align { stride } else { 0 };
        assert!(self.busy_in(start, len) <= least + slack, "{least} busy was to be had");
    }

    pub(super) fn apply(&mut self, op: &Op) {
        let before = self.space.window();
        match *op {
            Op::Take(ref wanted, client) => self.take(wanted, client),
            Op::TakeAt(start, len) => {
                let start = start % self.owner.len() as u32;
                let part = self.parts.iter().rfind(|part| part.first <= start).unwrap();
                let free = start + len <= part.first + part.n && self.is_free(start, len);
                let taken = self.space.take_at(start, len, start + 1);
                assert_eq!(taken.map(|busy| (busy.start, busy.len)), free.then_some((start, len)));
                if let Some(busy) = taken {
                    self.take_note(busy, start + 1);
                }
            }
            Op::Give(i) => {
                let Some(i) = self.pick(i) else { return };
                let (busy, _) = self.held.swap_remove(i);
                self.owner[busy.start as usize..busy.end() as usize].fill(None);
                self.space.give(busy);
                assert_ne!(self.space.busy_at(busy.start), Some(busy));
                self.judge_move(before, busy.start..busy.end());
            }
            Op::PassOn(i, len, client) => {
                let Some(i) = self.pick(i) else { return };
                let (old, _) = self.held[i];
                let placement = Placement::from(Shape::aligned(len, 1 + (client & 1)).unwrap());
                let suits = len <= old.len && self.places(&placement).any(|at| at == old.start);
                assert_eq!(self.space.suits(old, &placement), suits);
                if suits {
                    let kept = self.space.pass_on(old, &placement, client);
                    assert_eq!((kept.start, kept.len), (old.start, len));
                    assert_ne!(kept.serial, old.serial, "the old receipt is worthless");
                    self.held[i] = (kept, client);
                    self.owner[old.start as usize..old.end() as usize].fill(None);
                    self.owner[kept.start as usize..kept.end() as usize].fill(Some(client));
                    if old.len > len {
                        self.judge_move(before, kept.end()..old.end());
                    }
                }
            }
            Op::Split(i, len) => {
                let Some(i) = self.pick(i) else { return };
                let (old, client) = self.held[i];
                if len < old.len {
                    let (kept, rest) = self.space.split(old, len);
                    assert_eq!((kept.start, kept.len), (old.start, len));
                    assert_eq!((rest.start, rest.end()), (kept.end(), old.end()));
                    assert!(kept.serial != old.serial && rest.serial != old.serial);
                    self.held[i] = (kept, client);
                    self.held.push((rest, client));
                }
            }
            Op::Aim(ref wanted) => self.aim(self.placement(wanted)),
            Op::Unaim => {
                self.space.unaim();
                self.window = None;
            }
            Op::Claim(client) => {
                let whole = self
                    .window
                    .filter(|(start, placement)| self.busy_in(*start, placement.shape().len()) == 0);
                let claimed = self.space.claim_window(client);
                let expected = whole.map(|(start, placement)| (start, placement.shape().len()));
                assert_eq!(claimed.map(|busy| (busy.start, busy.len)), expected);
                if let Some(busy) = claimed {
                    self.window = None;
                    self.take_note(busy, client);
                }
            }
            Op::Add(n, origin) => {
                let first = self.space.add(Runs::new(n, origin).unwrap());
                assert_eq!(first as usize, self.owner.len());
                self.parts.push(Part { first, n, origin });
                self.owner.resize((first + n) as usize, None);
            }
        }
        assert_eq!(self.space.aimings(), self.aimings);
    }

    /// All that the space says of itself, and its invariants.
    pub(super) fn check(&mut self) {
        self.space.check();
        let size = self.owner.len() as u32;
        assert_eq!(self.space.size(), size);
        let window = self.window.map(|_| self.window_quanta());
        assert_eq!(self.space.window(), window);
        let window = window.unwrap_or(0..0);
        assert_eq!(self.space.missing(), self.busy_in(window.start, window.end - window.start));
        assert_eq!(self.space.withheld(), window.end - window.start - self.space.missing());
        let runs = self.free_runs();
        assert_eq!(self.space.free(), runs.iter().map(|run| run.1).sum());
        let mut listed: Vec<_> = self.space.runs().collect();
        listed.sort_unstable();
        assert_eq!(listed, runs);
        for log in [0, 1, 3, 7, 9, 12, 31] {
            let aligned = |&(start, len): &(u32, u32)| {
                let part = self.parts.iter().rfind(|part| part.first <= start).unwrap();
                let position = part.origin as u64 + u64::from(start - part.first);
                u64::from(len).saturating_sub(position.next_multiple_of(1 << log) - position) as u32
            };
            let longest = runs.iter().map(aligned).max().unwrap_or(0);
            assert_eq!(self.space.largest(1 << log), longest, "at multiples of 2^{log}");
        }
        self.held.sort_by_key(|(busy, _)| busy.start);
        for &(busy, client) in &self.held {
            assert_eq!(self.space.busy_at(busy.start), Some(busy));
            assert_eq!(self.space.note_of(busy), client);
        }
        let busy: Vec<Busy> = self.held.iter().map(|held| held.0).collect();
        for range in [0..size, size / 3..size / 2, size / 2..size / 2 + 1, window, size - 1..size] {
            let within: Vec<Busy> = self.space.busy_within(range.clone()).collect();
            let overlap =
                |busy: &&Busy| busy.start < range.end && busy.end() > range.start && !range.is_empty();
            assert_eq!(within, busy.iter().filter(overlap).copied().collect::<Vec<_>>(), "in {range:?}");
        }
    }

    /// Gives all back: one free run a region.
    pub(super) fn end(mut self) {
        self.apply(&Op::Unaim);
        while !self.held.is_empty() {
            self.apply(&Op::Give(0));
        }
        self.check();
        assert_eq!(self.free_runs().len(), self.parts.len());
    }
}
