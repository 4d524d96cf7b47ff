//! Clients: what they are lent, who is held back for it, and that it holds up nobody else.

#![cfg(not(loom))]

mod support;

use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::{AllocError, Answer, Claim, Client, Heir, Refusal};
use support::{
    Asker, CloseOnPanic, aligned, assert_whole, free_all, numbers, shape, take_each, until_waiting,
    with_bypass,
};

#[test]
fn a_client_has_its_name_and_what_it_took() {
    let arena = numbers(8);
    let client = arena.client(Client::new("tables")).unwrap();
    assert_eq!((client.client_name(), arena.client_name()), (Some("tables"), None));
    let (own, other) = (client.try_alloc(shape(3)).unwrap(), arena.try_alloc(shape(2)).unwrap());
    let at = client.try_alloc_at(7..8).unwrap();
    assert_eq!((client.used(), client.clone().used(), arena.used()), (4, 4, 2));
    // By any handle.
    arena.free(own).unwrap();
    client.free(other).unwrap();
    assert_eq!((client.used(), arena.used()), (1, 0));
    client.free(at).unwrap();
    assert_eq!(client.used(), 0);
    assert_whole(&arena);
}

#[test]
fn the_quota_is_how_much_it_may_have() {
    for quota in [1, 3, 8] {
        let arena = numbers(8);
        let client = arena.client(Client::new("").quota(quota)).unwrap();
        let spans = take_each(&client);
        assert_eq!(spans.len(), quota as usize);
        assert_eq!(client.try_alloc(shape(1)), Err(AllocError::Scarce));
        assert_eq!(take_each(&arena).len(), 8 - quota as usize, "the rest is for others");
        free_all(&arena, spans);
        let again = client.try_alloc(shape(quota)).unwrap();
        assert_eq!(client.used(), quota);
        client.free(again).unwrap();
    }
}

#[test]
fn more_than_the_quota_is_told_at_once() {
    let arena = numbers(8);
    let client = arena.client(Client::new("").quota(2)).unwrap();
    let error = AllocError::OverQuota { shape: shape(3), quota: 2 };
    assert_eq!(client.try_alloc(shape(3)), Err(error));
    assert_eq!(client.try_alloc_at(1..4), Err(error));
    assert_eq!(client.alloc(shape(3)), Err(error));
    let asker = Asker::new(1);
    asker.ask(&client, 0, shape(3));
    assert_eq!(asker.ends(), [Err(Refusal::Error(error))]);
    assert_eq!(client.try_alloc(shape(9)), Err(AllocError::TooLarge { shape: shape(9), quanta: 8 }));
    let nothing = arena.client(Client::new("").quota(0)).unwrap();
    assert_eq!(nothing.alloc(shape(1)), Err(AllocError::OverQuota { shape: shape(1), quota: 0 }));
    assert_whole(&arena);
}

/// In strict order, even: who may have no more is not in it.
#[test]
fn who_is_held_back_holds_up_nobody_and_keeps_its_place() {
    let arena = with_bypass(4, 0);
    let client = arena.client(Client::new("").quota(2)).unwrap();
    let own = client.try_alloc(shape(2)).unwrap();
    let (over, other) = (Asker::new(2), Asker::new(2));
    over.ask(&client, 0, shape(2));
    other.ask(&arena, 0, shape(2));
    let [two] = other.granted()[..] else { panic!("held up by who may have no more") };
    other.ask(&arena, 0, shape(2));
    assert_eq!(arena.stats().waiting, 2);
    arena.free(own).unwrap();
    let [first] = over.granted()[..] else { panic!("it came before the other") };
    assert_eq!(other.granted().len(), 0);
    arena.free(first).unwrap();
    free_all(&arena, other.granted());
    arena.free(two).unwrap();
    assert_whole(&arena);
}

/// A quota that is reached while many of its requests wait, more than are looked at in one go,
/// keeps nothing from who is behind them all.
#[test]
fn many_that_are_held_back_at_once_hold_up_nobody() {
    for many in [1, 15, 16, 17, 40] {
        let arena = with_bypass(4, 0);
        let client = arena.client(Client::new("").quota(1)).unwrap();
        let all = arena.try_alloc(shape(3)).unwrap();
        let last = arena.try_alloc(shape(1)).unwrap();
        let (over, other) = (Asker::new(many), Asker::new(1));
        for slot in 0..many {
            over.ask(&client, slot, shape(1));
        }
        other.ask(&arena, 0, shape(2));
        arena.free(all).unwrap();
        let mut own = over.granted();
        assert_eq!(own.len(), 1);
        let [two] = other.granted()[..] else { panic!("beside what is free, {many} held back") };
        free_all(&arena, [two, last]);
        for _ in 1..many {
            free_all(&arena, own);
            own = over.granted();
            assert_eq!((own.len(), client.used()), (1, 1));
        }
        free_all(&arena, own);
        assert_whole(&arena);
    }
}

#[test]
fn who_is_held_back_sleeps_gives_up_and_is_refused() {
    let arena = numbers(4);
    let client = arena.client(Client::new("").quota(1)).unwrap();
    let own = client.try_alloc(shape(1)).unwrap();
    assert_eq!(client.alloc_timeout(shape(1), Duration::from_millis(1)), Err(AllocError::TimedOut));
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        let sleeper = scope.spawn(|| client.alloc(shape(1)));
        until_waiting(&arena, 1);
        arena.free(own).unwrap();
        let own = sleeper.join().unwrap().unwrap();
        assert_eq!(client.used(), 1);
        let refused = scope.spawn(|| client.alloc(shape(1)));
        until_waiting(&arena, 1);
        arena.close();
        assert_eq!(refused.join().unwrap(), Err(AllocError::Closed));
        arena.free(own).unwrap();
    });
    assert_whole(&arena);
}

/// What a head that is not held back yet cannot have any more is not its window's.
#[test]
fn a_window_goes_when_its_client_may_have_no_more() {
    let arena = numbers(8);
    let client = arena.client(Client::new("").quota(4)).unwrap();
    let spans = take_each(&arena);
    let (over, other) = (Asker::new(1), Asker::new(1));
    over.ask(&client, 0, shape(4));
    free_all(&arena, [spans[0], spans[1], spans[7]]);
    assert_eq!(arena.stats().withheld, 2);
    let own = client.try_alloc(shape(1)).unwrap();
    assert_eq!(own.start(), 7);
    assert_eq!(arena.stats().withheld, 0, "it may have three more");
    other.ask(&arena, 0, shape(2));
    let [two] = other.granted()[..] else { panic!("they are for nobody") };
    client.free(own).unwrap();
    free_all(&arena, spans[2..7].iter().copied().chain([two]));
    free_all(&arena, over.granted());
    assert_whole(&arena);
}

/// The same by a grant to who is behind it, of the same client: nothing stays withheld for it.
#[test]
fn a_window_goes_when_a_grant_behind_it_uses_up_its_quota() {
    let arena = numbers(8);
    let client = arena.client(Client::new("").quota(4)).unwrap();
    let spans = take_each(&arena);
    let (over, younger, other) = (Asker::new(1), Asker::new(1), Asker::new(1));
    over.ask(&client, 0, aligned(4));
    younger.ask(&client, 0, shape(2));
    other.ask(&arena, 0, shape(3));
    free_all(&arena, [spans[0], spans[1], spans[2]]);
    assert_eq!((arena.stats().withheld, arena.stats().waiting), (3, 3));
    free_all(&arena, [spans[5], spans[6]]);
    let [pair] = younger.granted()[..] else { panic!("5..7 is idle") };
    assert_eq!((pair.range(), client.used()), (5..7, 2));
    let [three] = other.granted()[..] else { panic!("0..3 is idle, and kept for who may have two more") };
    assert_eq!((three.range(), arena.stats().withheld), (0..3, 0));
    free_all(&arena, [3, 4, 7].map(|at| spans[at]).into_iter().chain([pair, three]));
    free_all(&arena, over.granted());
    assert_whole(&arena);
}

#[test]
fn an_account_is_open_while_it_has_anything() {
    let arena = numbers(4);
    let first = arena.client(Client::new("first").quota(1)).unwrap();
    let held = first.try_alloc(shape(1)).unwrap();
    drop(first);
    // Another's quota is its own, whatever number it has.
    let second = arena.client(Client::new("second").quota(2)).unwrap();
    assert_eq!(second.used(), 0);
    arena.free(held).unwrap();
    assert_eq!(second.used(), 0);
    let third = arena.client(Client::new("third").quota(3)).unwrap();
    let spans = take_each(&third);
    assert_eq!((spans.len(), second.used()), (3, 0));
    free_all(&arena, spans);

    // With a request that waits, and nothing else.
    let all = arena.try_alloc(shape(4)).unwrap();
    let fourth = arena.client(Client::new("fourth")).unwrap();
    let asker = Asker::new(1);
    asker.ask(&fourth, 0, shape(2));
    drop(fourth);
    let fifth = arena.client(Client::new("fifth")).unwrap();
    arena.free(all).unwrap();
    let [span] = asker.granted()[..] else { panic!("its handle is gone, its request is not") };
    assert_eq!(fifth.used(), 0);
    arena.free(span).unwrap();
    assert_whole(&arena);
}

#[test]
fn there_are_so_many_clients_and_no_more() {
    let arena = numbers(1);
    let mut clients: Vec<_> = std::iter::from_fn(|| arena.client(Client::new("")).ok()).collect();
    assert_eq!(clients.len(), usize::from(u16::MAX));
    let error = arena.client(Client::new("")).unwrap_err();
    assert_eq!(error.to_string(), "an arena of 65535 clients already");
    clients.pop();
    assert!(arena.client(Client::new("")).is_ok(), "one is vacant again");
}

/// Never more than its quota, on any number of threads, by all ways to take.
#[test]
fn a_quota_holds_on_many_threads() {
    const QUOTA: u32 = 3;
    let arena = numbers(16);
    let client = arena.client(Client::new("").quota(QUOTA)).unwrap();
    let has = AtomicU32::new(0);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&arena);
        for thread in 0..4 {
            let (arena, client, has) = (&arena, &client, &has);
            scope.spawn(move || {
                for round in 0..500 {
                    let len = 1 + (round + thread) % QUOTA;
                    let span = match round % 3 {
                        0 => client.alloc(shape(len)).unwrap(),
                        1 => match client.try_alloc(shape(len)) {
                            Ok(span) => span,
                            Err(_) => continue,
                        },
                        _ => match client.alloc_timeout(shape(len), Duration::from_micros(20)) {
                            Ok(span) => span,
                            Err(_) => continue,
                        },
                    };
                    let now = has.fetch_add(len, SeqCst) + len;
                    assert!(now <= QUOTA, "{now} quanta at once");
                    thread::yield_now();
                    has.fetch_sub(len, SeqCst);
                    arena.free(span).unwrap();
                }
            });
        }
    });
    assert_eq!(client.used(), 0);
    assert_whole(&arena);
}

/// A claim is no way past a quota; what passes from one to another of the same client is.
#[test]
fn a_span_freed_to_a_claim_counts_too() {
    let arena = numbers(4);
    let client = arena.client(Client::new("").quota(1)).unwrap();
    let own = client.try_alloc(shape(1)).unwrap();
    let others = take_each(&arena);
    let asker = Asker::new(2);
    let waiting = asker.ask(&client, 0, shape(1));
    let heir = arena.free_to(Claim::new(&asker.table, waiting), others[0]).unwrap();
    assert_eq!((heir, asker.granted().len(), client.used()), (Heir::Gone, 0, 1));
    let heir = arena.free_to(Claim::new(&asker.table, waiting), own).unwrap();
    let [own] = asker.granted()[..] else { panic!("it is no more than it had") };
    assert_eq!((heir, client.used()), (Heir::Claimant, 1));

    // One that is on its way is told when it comes.
    let coming = asker.reserve(&arena, 1);
    let claim = Claim::new(&asker.table, coming.id());
    assert_eq!(arena.free_to(claim, others[1]).unwrap(), Heir::Claimant);
    assert!(matches!(client.ask(shape(1), coming), Answer::Later));
    assert_eq!((client.used(), arena.stats().free), (1, 1));
    arena.free(own).unwrap();
    free_all(&arena, asker.granted().into_iter().chain([others[0], others[2]]));
    assert_whole(&arena);
}

/// A span passes to one who waits for its own client's quota: nobody else could have had it, so that nobody
/// is overtaken.
#[test]
fn what_stays_with_a_client_overtakes_nobody() {
    let arena = with_bypass(4, 0);
    let client = arena.client(Client::new("").quota(2)).unwrap();
    let pair = client.try_alloc(shape(2)).unwrap();
    let (waits, held_back) = (Asker::new(1), Asker::new(1));
    let id = waits.ask(&arena, 0, shape(3));
    held_back.ask(&client, 0, shape(2));
    assert!(arena.yield_to_older(pair, arena.clock().now()).unwrap());
    let pair = held_back.granted();
    assert_eq!((pair.len(), client.used()), (1, 2));
    waits.withdraw(&arena, id);
    assert_eq!(arena.stats().most_overtaken, 0);
    free_all(&arena, pair);
    assert_whole(&arena);
}

/// A span of a client passes to another's, and leaves the client room for an older request that waited for
/// its quota. That one was not in line, so it was not overtaken.
#[test]
fn who_comes_back_into_line_by_a_pass_was_not_overtaken_by_it() {
    let arena = with_bypass(4, 0);
    let client = arena.client(Client::new("").quota(4)).unwrap();
    let all = client.try_alloc(shape(4)).unwrap();
    let (held_back, waits) = (Asker::new(1), Asker::new(1));
    held_back.ask(&client, 0, shape(2));
    waits.ask(&arena, 0, shape(2));
    assert!(arena.yield_to_older(all, arena.clock().now()).unwrap());
    let both = [held_back, waits].map(|asker| asker.granted());
    assert_eq!(both.each_ref().map(Vec::len), [1, 1]);
    assert_eq!(arena.stats().most_overtaken, 0);
    free_all(&arena, both.concat());
    assert_whole(&arena);
}

/// Who passes another does not pass itself.
#[test]
fn one_who_is_passed_on_to_overtakes_who_is_older_and_nobody_else() {
    let arena = with_bypass(4, 1);
    let mut all = take_each(&arena);
    let (older, younger) = (Asker::new(1), Asker::new(1));
    let id = older.ask(&arena, 0, shape(2));
    younger.ask(&arena, 0, shape(1));
    assert!(arena.yield_to_older(all.remove(0), arena.clock().now()).unwrap());
    all.extend(younger.granted());
    assert_eq!((all.len(), arena.stats().most_overtaken), (4, 0), "the younger one was not");
    older.withdraw(&arena, id);
    assert_eq!(arena.stats().most_overtaken, 1);
    free_all(&arena, all);
    assert_whole(&arena);
}
