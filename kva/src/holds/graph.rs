//! The graph, and what is deduced from it: plain data, no lock, no clock but a count of changes.

use std::thread::ThreadId;

use arrayvec::ArrayVec;

use super::deadlock::{Blocked, Cycle, Held};
use super::{Resource, Vitals};
use crate::sync::Weak;

/// Of so many resources at once it is known that a client holds some.
pub(super) const MOST_HELD: usize = 16;

/// A client by number; 0: nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client(pub(super) u32);

impl Client {
    /// Nobody that is known.
    pub const NOBODY: Self = Self(0);

    /// Whether it is nobody that is known.
    #[must_use]
    pub const fn is_nobody(self) -> bool {
        self.0 == 0
    }

    fn at(self) -> usize {
        self.0 as usize - 1
    }
}

/// A client asleep.
#[derive(Debug, Clone, Copy)]
struct Sleep {
    /// The resource that it waits for.
    at: u32,
    /// The innermost client of its thread: the one that gets.
    by: Client,
    since: u64,
}

#[derive(Debug, Clone, Copy)]
struct Amount {
    resource: u32,
    amount: u64,
}

#[derive(Debug)]
struct Record {
    /// Not after it left. What it held then stays noted until it is put, and is nobody's.
    alive: bool,
    name: Box<str>,
    thread: ThreadId,
    /// The client that this one is a part of.
    outer: Client,
    asleep: Option<Sleep>,
    holds: ArrayVec<Amount, MOST_HELD>,
    /// The sleep of which a deadlock was reported.
    reported: u64,
    stuck: bool,
}

struct Known {
    id: u32,
    label: Box<str>,
    /// The arena that its pages come from.
    below: Option<u32>,
    hook: Weak<dyn Resource>,
    /// How it was, and when that was asked for.
    looked: Option<(u64, Vitals)>,
    stuck: bool,
}

impl Known {
    fn vitals(&self) -> Option<&Vitals> {
        self.looked.as_ref().map(|(_, vitals)| vitals)
    }

    fn looked_after(&self, moment: u64) -> bool {
        self.looked.as_ref().is_some_and(|(at, _)| moment < *at)
    }

    /// The pools of an arena, and that arena, are one family: each may be what another waits for.
    fn family(&self) -> u32 {
        self.below.unwrap_or(self.id)
    }
}

/// Who holds what and waits for what.
pub(super) struct Graph {
    now: u64,
    last: u32,
    clients: Vec<Record>,
    /// By number.
    resources: Vec<Known>,
    forgotten: u64,
}

impl Graph {
    pub(super) const fn new() -> Self {
        Self { now: 0, last: 0, clients: Vec::new(), resources: Vec::new(), forgotten: 0 }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// How often something was got that there was no room to note.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A client, which is a part of `outer`.
    pub(super) fn enter(&mut self, name: Box<str>, thread: ThreadId, outer: Client) -> Client {
        let (holds, alive) = (ArrayVec::new(), true);
        let new = Record { alive, name, thread, outer, asleep: None, holds, reported: 0, stuck: false };
        // A number is given again when nothing refers to it any more: `leave` sees to the outer ones.
        let free = self.clients.iter().position(|client| !client.alive && client.holds.is_empty());
        let at = free.unwrap_or(self.clients.len());
        match free {
            Some(at) => self.clients[at] = new,
            None => self.clients.push(new),
        }
        Client(at as u32 + 1)
    }

    /// A client is gone; the one that it was a part of.
    pub(super) fn leave(&mut self, client: Client) -> Client {
        let outer = self.clients[client.at()].outer;
        self.clients[client.at()].alive = false;
        for other in self.clients.iter_mut().filter(|other| other.outer == client) {
            other.outer = outer;
        }
        outer
    }

    /// A client has so much more of a resource. `false`: there is no room to note it.
    pub(super) fn hold(&mut self, client: Client, resource: u32, amount: u64) -> bool {
        let holds = &mut self.clients[client.at()].holds;
        if let Some(held) = holds.iter_mut().find(|held| held.resource == resource) {
            held.amount += amount;
            return true;
        }
        let noted = holds.try_push(Amount { resource, amount }).is_ok();
        self.forgotten += u64::from(!noted);
        noted
    }

    /// A client has so much less of a resource. On which thread it got that.
    pub(super) fn put(&mut self, client: Client, resource: u32, amount: u64) -> ThreadId {
        let record = &mut self.clients[client.at()];
        if let Some(at) = record.holds.iter().position(|held| held.resource == resource) {
            let held = &mut record.holds[at];
            held.amount = held.amount.saturating_sub(amount);
            if held.amount == 0 {
                record.holds.swap_remove(at);
            }
        }
        record.thread
    }

    /// A client goes to sleep for a resource, and with it those that it is a part of. Whether any of
    /// them holds anything.
    pub(super) fn sleep(&mut self, client: Client, resource: u32) -> bool {
        let sleep = Sleep { at: resource, by: client, since: self.tick() };
        let (mut at, mut any) = (client, false);
        while !at.is_nobody() {
            let record = &mut self.clients[at.at()];
            record.asleep = Some(sleep);
            any |= !record.holds.is_empty();
            at = record.outer;
        }
        any
    }

    /// It is awake, or about to be.
    pub(super) fn wake(&mut self, client: Client) {
        let mut at = client;
        while !at.is_nobody() {
            let record = &mut self.clients[at.at()];
            record.asleep = None;
            at = record.outer;
        }
    }

    /// Adds a resource; its number.
    pub(super) fn add(
        &mut self,
        below: Option<u32>,
        hook: Weak<dyn Resource>,
        label: impl FnOnce(u32) -> Box<str>,
    ) -> u32 {
        self.last += 1;
        let id = self.last;
        let label = label(id);
        self.resources.push(Known { id, label, below, hook, looked: None, stuck: false });
        id
    }

    /// A resource is gone.
    pub(super) fn remove(&mut self, resource: u32) {
        self.resources.retain(|known| known.id != resource);
        for client in &mut self.clients {
            client.holds.retain(|held| held.resource != resource);
        }
    }

    fn find(&self, resource: u32) -> Option<usize> {
        self.resources.binary_search_by_key(&resource, |known| known.id).ok()
    }

    fn family_of(&self, resource: u32) -> Option<u32> {
        self.find(resource).map(|at| self.resources[at].family())
    }

    /// The next resource after `last` that is to be asked how it is, and the moment: some client
    /// sleeps for it, or for another of its family.
    pub(super) fn next_to_ask(&mut self, last: u32) -> Option<(u32, u64, Weak<dyn Resource>)> {
        let is_wanted = |known: &&Known| {
            let mut asleep = self.clients.iter().filter_map(|client| client.asleep);
            known.id > last && asleep.any(|sleep| self.family_of(sleep.at) == Some(known.family()))
        };
        let next = self.resources.iter().find(is_wanted)?;
        let (id, hook) = (next.id, next.hook.clone());
        Some((id, self.tick(), hook))
    }

    /// How a resource was that was asked at `moment`.
    pub(super) fn note(&mut self, resource: u32, moment: u64, vitals: Option<Vitals>) {
        let Some(at) = self.find(resource) else { return };
        let known = &mut self.resources[at];
        // Another may have asked later.
        if !known.looked_after(moment) {
            known.looked = vitals.map(|vitals| (moment, vitals));
        }
    }

    /// Finds who is stuck: takes for stuck whoever sleeps, and takes out who can go on, until nobody
    /// else can.
    pub(super) fn reduce(&mut self) {
        for client in &mut self.clients {
            client.stuck = client.alive && client.asleep.is_some();
        }
        for known in &mut self.resources {
            known.stuck = known.looked.is_some();
        }
        loop {
            let mut changed = false;
            for at in 0..self.resources.len() {
                if self.resources[at].stuck && self.resource_goes_on(&self.resources[at]) {
                    self.resources[at].stuck = false;
                    changed = true;
                }
            }
            for at in 0..self.clients.len() {
                if self.clients[at].stuck && self.client_goes_on(&self.clients[at]) {
                    self.clients[at].stuck = false;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Whether a client that sleeps may be served, or is awake by now.
    fn client_goes_on(&self, client: &Record) -> bool {
        let Some(sleep) = client.asleep else { return true };
        let Some(known) = self.find(sleep.at).map(|at| &self.resources[at]) else { return true };
        let listed = known.vitals().and_then(|vitals| vitals.listed.as_ref());
        let waits = listed.is_none_or(|listed| listed.contains(&sleep.by));
        // Invariant 2.
        !(known.stuck && known.looked_after(sleep.since) && waits)
    }

    /// Whether there may be more of a resource for those who wait for it.
    fn resource_goes_on(&self, known: &Known) -> bool {
        let Some(vitals) = known.vitals() else { return true };
        let above = || self.resources.iter().filter(|other| other.below == Some(known.id));
        if !vitals.settled || vitals.out == 0 || vitals.reclaimers != above().count() {
            return true;
        }
        if vitals.growing > 0 {
            let below = known.below.and_then(|below| self.find(below));
            if !below.is_some_and(|at| self.resources[at].stuck) {
                return true;
            }
        }
        // Invariant 1.
        let held: u64 = self.stuck_at(known).map(|(_, client)| client.amount_of(known.id)).sum();
        let pages: u64 = above()
            .filter(|pool| pool.stuck)
            .filter_map(|pool| pool.vitals().and_then(|vitals| vitals.holds_below))
            .sum();
        if held + pages != vitals.out {
            return true;
        }
        // What is free may do for somebody else once another has given up.
        vitals.free > 0 && !self.all_stay(known, vitals)
    }

    /// The clients that have been stuck since before the resource was looked at (invariant 2).
    fn stuck_at(&self, known: &Known) -> impl Iterator<Item = (Client, &Record)> {
        let all = self.clients.iter().enumerate().map(|(at, client)| (Client(at as u32 + 1), client));
        all.filter(|(_, client)| {
            client.stuck && client.asleep.is_some_and(|sleep| known.looked_after(sleep.since))
        })
    }

    /// How many getters wait for the resource that are stuck clients.
    fn stay_at(&self, known: &Known) -> usize {
        let waits = |client: Client, sleep: Option<Sleep>| {
            sleep.is_some_and(|it| it.by == client && it.at == known.id)
        };
        self.stuck_at(known).filter(|(at, client)| waits(*at, client.asleep)).count()
    }

    /// Whether nobody who waits for the resource gives up: neither by its deadline, nor because it
    /// was served elsewhere.
    fn all_stay(&self, known: &Known, vitals: &Vitals) -> bool {
        let mut stay = self.stay_at(known);
        for pool in self.resources.iter().filter(|other| other.below == Some(known.id)) {
            let Some(above) = pool.vitals() else { return false };
            if above.tokens > 0 && self.stay_at(pool) != above.waiting {
                return false;
            }
            stay += above.tokens;
        }
        stay == vitals.waiting
    }

    /// Whether a client is in a deadlock, or waits behind one, as far as [`reduce`](Self::reduce)
    /// knows.
    pub(super) fn is_stuck(&self, client: Client) -> bool {
        self.clients[client.at()].stuck
    }

    /// The deadlocks that [`reduce`](Self::reduce) found; `unreported`: but those that this was told
    /// before to return.
    pub(super) fn cycles(&mut self, unreported: bool) -> Vec<Cycle> {
        let reach: Vec<Vec<bool>> = (0..self.clients.len()).map(|at| self.reach(at)).collect();
        let mut cycles = Vec::new();
        let mut done = vec![false; self.clients.len()];
        for (at, reached) in reach.iter().enumerate() {
            let members: Vec<usize> = (0..reached.len()).filter(|&other| reached[other]).collect();
            // Who waits behind a deadlock reaches it, and is not reached by it.
            if done[at] || !reached[at] || !members.iter().all(|&member| reach[member][at]) {
                continue;
            }
            for &member in &members {
                done[member] = true;
            }
            let is_known = |&member: &usize| {
                let client = &self.clients[member];
                client.asleep.is_some_and(|sleep| sleep.since == client.reported)
            };
            if unreported && members.iter().all(is_known) {
                continue;
            }
            if unreported {
                for &member in &members {
                    let client = &mut self.clients[member];
                    client.reported = client.asleep.map_or(0, |sleep| sleep.since);
                }
            }
            let clients = members.iter().map(|&member| self.describe(&self.clients[member])).collect();
            cycles.push(Cycle { clients });
        }
        cycles
    }

    /// Which clients hold what a stuck one may be served with, and so on; none of one that is not.
    fn reach(&self, from: usize) -> Vec<bool> {
        let mut reached = vec![false; self.clients.len()];
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            for (other, reached) in reached.iter_mut().enumerate() {
                if !*reached && self.waits_for(&self.clients[at], &self.clients[other]) {
                    *reached = true;
                    next.push(other);
                }
            }
        }
        reached
    }

    /// Whether what a client holds may serve another, both of them stuck.
    fn waits_for(&self, client: &Record, other: &Record) -> bool {
        if !client.stuck || !other.stuck {
            return false;
        }
        let Some(known) = client.asleep.and_then(|sleep| self.find(sleep.at)) else { return false };
        let known = &self.resources[known];
        let asks_below = known.vitals().is_some_and(|vitals| vitals.growing > 0);
        let serves = |held: &Amount| {
            // Its own items, what the arena below has out, and what pools have of that.
            held.resource == known.id
                || ((asks_below || known.below.is_none())
                    && self.family_of(held.resource) == Some(known.family()))
        };
        other.holds.iter().any(serves)
    }

    fn label(&self, resource: u32) -> String {
        self.find(resource).map_or_else(String::new, |at| self.resources[at].label.to_string())
    }

    fn describe(&self, client: &Record) -> Blocked {
        let held = |held: &Amount| Held { of: self.label(held.resource), amount: held.amount };
        Blocked {
            name: client.name.to_string(),
            holds: client.holds.iter().map(held).collect(),
            waits_for: client.asleep.map_or_else(String::new, |sleep| self.label(sleep.at)),
        }
    }
}

impl Record {
    fn amount_of(&self, resource: u32) -> u64 {
        self.holds.iter().filter(|held| held.resource == resource).map(|held| held.amount).sum()
    }
}

#[cfg(test)]
mod tests;
