//! Each rule of the reduction by itself, and all of them beside a naive one.

use std::collections::BTreeSet;
use std::thread;

use proptest::prelude::*;

use super::*;

struct Nothing;

impl Resource for Nothing {
    fn vitals(&self) -> Vitals {
        unreachable!("tests say how it is")
    }
}

fn client(graph: &mut Graph, name: &str) -> Client {
    graph.enter(name.into(), thread::current().id(), Client::NOBODY)
}

fn resource(graph: &mut Graph, below: Option<u32>) -> u32 {
    graph.add(below, Weak::<Nothing>::new(), |id| id.to_string().into())
}

/// That is how it is now.
fn look(graph: &mut Graph, resource: u32, vitals: Vitals) {
    let moment = graph.tick();
    graph.note(resource, moment, Some(vitals));
}

fn names(cycles: Vec<Cycle>) -> Vec<Vec<String>> {
    cycles.into_iter().map(|cycle| cycle.clients.into_iter().map(|client| client.name).collect()).collect()
}

/// Two clients, each of which has all of one pool and waits for the other.
struct World {
    graph: Graph,
    clients: [Client; 2],
    pools: [u32; 2],
    vitals: Vitals,
}

impl World {
    fn new() -> Self {
        let mut graph = Graph::new();
        let clients = ["one", "other"].map(|name| client(&mut graph, name));
        let pools = [(); 2].map(|()| resource(&mut graph, None));
        for at in 0..2 {
            assert!(graph.hold(clients[at], pools[at], 1));
        }
        for at in 0..2 {
            assert!(graph.sleep(clients[at], pools[1 - at]));
        }
        let listed = Some(clients.into_iter().collect());
        let vitals = Vitals { settled: true, out: 1, waiting: 1, listed, ..Vitals::default() };
        Self { graph, clients, pools, vitals }
    }

    fn look(&mut self, at: usize, vitals: Vitals) {
        look(&mut self.graph, self.pools[at], vitals);
    }

    /// How many deadlocks there are, if the first pool is as it is said.
    fn found(&mut self, first: impl FnOnce(&mut Vitals)) -> usize {
        let mut vitals = self.vitals.clone();
        self.look(1, vitals.clone());
        first(&mut vitals);
        self.look(0, vitals);
        self.graph.reduce();
        self.graph.cycles(false).len()
    }
}

#[test]
fn all_that_is_out_is_with_those_who_sleep() {
    let mut world = World::new();
    assert_eq!(world.found(|_| {}), 1);
    assert_eq!(names(world.graph.cycles(false)), [["one", "other"]]);
    assert_eq!(world.found(|pool| pool.out = 2), 0, "somebody else has one");
    assert_eq!(world.found(|pool| pool.out = 0), 0, "it is on its way back");
}

#[test]
fn nothing_is_under_way() {
    let mut world = World::new();
    assert_eq!(world.found(|pool| pool.settled = false), 0);
    assert_eq!(world.found(|pool| pool.growing = 1), 0, "it may come from anywhere");
    assert_eq!(world.found(|pool| pool.reclaimers = 1), 0);
    assert_eq!(world.found(|pool| pool.listed = Some(ArrayVec::new())), 0, "it was served, or refused");
    assert_eq!(world.found(|_| {}), 1);
}

#[test]
fn what_is_free_is_of_use_if_somebody_gives_up() {
    let mut world = World::new();
    assert_eq!(world.found(|pool| pool.free = 1), 1, "nobody does");
    assert_eq!(world.found(|pool| (pool.free, pool.waiting) = (1, 2)), 0);
    assert_eq!(world.found(|pool| (pool.free, pool.waiting) = (0, 2)), 1, "nothing is");
}

#[test]
fn what_was_seen_before_somebody_slept_says_nothing() {
    let mut world = World::new();
    assert_eq!(world.found(|_| {}), 1);
    world.graph.wake(world.clients[0]);
    world.graph.reduce();
    assert_eq!(world.graph.cycles(false), [], "it goes on");
    world.graph.sleep(world.clients[0], world.pools[1]);
    world.graph.reduce();
    assert_eq!(world.graph.cycles(false), [], "it may have been elsewhere");
    assert_eq!(world.found(|_| {}), 1);
}

/// Neither of what it holds nor of what it waits for.
#[test]
fn one_look_since_is_not_enough() {
    for seen in 0..2 {
        let mut world = World::new();
        assert_eq!(world.found(|_| {}), 1);
        world.graph.wake(world.clients[0]);
        world.graph.sleep(world.clients[0], world.pools[1]);
        for (at, found) in [(seen, 0), (1 - seen, 1)] {
            world.look(at, world.vitals.clone());
            world.graph.reduce();
            assert_eq!(world.graph.cycles(false).len(), found, "{seen}");
        }
    }
}

/// Who asked earlier does not replace what was said later.
#[test]
fn the_last_look_counts() {
    let mut world = World::new();
    let early = world.graph.tick();
    assert_eq!(world.found(|_| {}), 1);
    world.graph.note(world.pools[0], early, Some(Vitals::default()));
    world.graph.reduce();
    assert_eq!(world.graph.cycles(false).len(), 1);
}

#[test]
fn who_is_gone_is_not_stuck() {
    let mut world = World::new();
    world.graph.leave(world.clients[0]);
    assert_eq!(world.found(|_| {}), 0);
    world.graph.remove(world.pools[0]);
    assert_eq!(world.graph.cycles(false), []);
}

#[test]
fn each_is_told_once_and_again_if_it_comes_again() {
    let mut world = World::new();
    assert_eq!(world.found(|_| {}), 1);
    assert_eq!(world.graph.cycles(true).len(), 1);
    assert_eq!(world.graph.cycles(true).len(), 0);
    world.graph.wake(world.clients[1]);
    world.graph.sleep(world.clients[1], world.pools[0]);
    assert_eq!(world.found(|_| {}), 1);
    assert_eq!(world.graph.cycles(true).len(), 1);
}

#[test]
fn a_number_is_given_again_when_nothing_refers_to_it() {
    let mut graph = Graph::new();
    let pool = resource(&mut graph, None);
    let first = client(&mut graph, "first");
    let inner = graph.enter("inner".into(), thread::current().id(), first);
    graph.hold(first, pool, 1);
    assert_eq!(graph.leave(first), Client::NOBODY);
    assert_ne!(client(&mut graph, "second"), first, "it holds something yet");
    graph.put(first, pool, 1);
    assert_eq!(client(&mut graph, "third"), first);
    assert_eq!(graph.leave(inner), Client::NOBODY, "it is part of nothing that is left");
}

/// Two pools in one arena: what one has of it the other may get.
fn two_in_an_arena(pool: impl FnOnce(&mut Vitals), beside: impl FnOnce(&mut Vitals)) -> usize {
    let mut graph = Graph::new();
    let arena = resource(&mut graph, None);
    let pools = [(); 2].map(|()| resource(&mut graph, Some(arena)));
    let clients = ["one", "other"].map(|name| client(&mut graph, name));
    graph.hold(clients[0], pools[1], 1);
    graph.hold(clients[1], arena, 1);
    graph.sleep(clients[0], pools[0]);
    graph.sleep(clients[1], arena);
    let settled = Vitals { settled: true, ..Vitals::default() };
    // The first pool asks for its first page; the second has one, which is out.
    let mut first = Vitals {
        waiting: 1,
        growing: 1,
        tokens: 1,
        out: 1,
        listed: Some(clients.into_iter().collect()),
        holds_below: Some(1),
        ..settled.clone()
    };
    graph.hold(clients[1], pools[0], 1);
    let mut second = Vitals { out: 1, holds_below: Some(1), ..settled.clone() };
    pool(&mut first);
    beside(&mut second);
    look(&mut graph, pools[0], first);
    look(&mut graph, pools[1], second);
    look(&mut graph, arena, Vitals { out: 3, free: 1, waiting: 2, reclaimers: 2, ..settled });
    graph.reduce();
    graph.cycles(false).len()
}

#[test]
fn pools_may_give_their_pages_to_each_other() {
    assert_eq!(two_in_an_arena(|_| {}, |_| {}), 1);
    assert_eq!(two_in_an_arena(|_| {}, |second| second.holds_below = None), 0, "a page is idle");
    assert_eq!(two_in_an_arena(|_| {}, |second| second.out = 2), 0, "somebody may put the other item");
    assert_eq!(two_in_an_arena(|first| first.waiting = 2, |_| {}), 0, "who withdraws leaves what is free");
}

/// How much of each pool each client holds, and which it sleeps for, if it does.
type Shares = (Vec<u64>, Option<usize>);

proptest! {
    /// Somebody may be served as long as a unit of what it waits for is with somebody who may go on.
    #[test]
    fn who_is_stuck_is_as_by_trying(
        clients in prop::collection::vec(
            (prop::collection::vec(0_u64..3, 3), prop::option::of(0_usize..3)), 1..6,
        ),
        unknown in prop::collection::vec(prop::bool::weighted(0.2), 3),
    ) {
        let all: &[Shares] = &clients;
        let mut graph = Graph::new();
        let pools = [(); 3].map(|()| resource(&mut graph, None));
        let known: Vec<_> = (0..all.len()).map(|at| client(&mut graph, &at.to_string())).collect();
        for (at, (holds, waits)) in all.iter().enumerate() {
            for (pool, &amount) in holds.iter().enumerate().filter(|(_, amount)| **amount > 0) {
                graph.hold(known[at], pools[pool], amount);
            }
            if let Some(pool) = waits {
                graph.sleep(known[at], pools[*pool]);
            }
        }
        let held = |pool: usize| all.iter().map(|(holds, _)| holds[pool]).sum::<u64>();
        for pool in 0..3 {
            let out = held(pool) + u64::from(unknown[pool]);
            let listed = Some(known.iter().copied().collect());
            look(&mut graph, pools[pool], Vitals { settled: true, out, listed, ..Vitals::default() });
        }
        graph.reduce();

        // Those who run, and one after the other who gets from one of them.
        let mut goes_on: BTreeSet<usize> = (0..all.len()).filter(|&at| all[at].1.is_none()).collect();
        loop {
            let may_have = |pool: usize| {
                unknown[pool] || held(pool) == 0 || goes_on.iter().any(|&at| all[at].0[pool] > 0)
            };
            let more: Vec<_> = (0..all.len()).filter(|at| !goes_on.contains(at)).collect();
            let Some(next) = more.into_iter().find(|&at| all[at].1.is_some_and(may_have)) else { break };
            goes_on.insert(next);
        }
        for (at, &client) in known.iter().enumerate() {
            prop_assert_eq!(graph.is_stuck(client), !goes_on.contains(&at), "{}", at);
        }
        // Each deadlock is one of those, and whoever is stuck waits for one.
        let cycles = names(graph.cycles(false));
        prop_assert_eq!(cycles.is_empty(), goes_on.len() == all.len());
        for name in cycles.iter().flatten() {
            prop_assert!(!goes_on.contains(&name.parse().unwrap()));
        }
        let members: Vec<_> = cycles.iter().flatten().collect();
        prop_assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len(), "none is in two");
    }
}
