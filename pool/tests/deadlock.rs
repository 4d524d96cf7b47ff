//! Deadlocks of those who hold items and wait for more are found, and nothing else is.

#![cfg(all(debug_assertions, not(loom)))]

use std::process::Command;
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kva::deadlock::{self, Blocked, Cycle};
use kva::sync::Arc;
use kva::{Arena, Shape, client};
use pool::{ArenaPages, Backend, Builder, Classic, Growers, Pool, RawPool};

mod support;
use support::*;

/// Longer than any test takes.
const AGES: Duration = Duration::from_hours(1);

fn named(name: &str, hard_limit: u32) -> Builder<std::alloc::Layout> {
    blocks(hard_limit).name(name)
}

/// A pool of one item for each of these, as many as asked for.
fn pool(name: &str, items: u32) -> RawPool {
    named(name, items).build(arena(items as usize)).unwrap()
}

/// The deadlocks that this client is in. Others' tests may have theirs meanwhile.
fn of(name: &str) -> Vec<Cycle> {
    let is_in = |cycle: &Cycle| cycle.clients.iter().any(|client| client.name == name);
    deadlock::check().into_iter().filter(is_in).collect()
}

fn until_found(name: &str) -> Vec<Blocked> {
    let mut found = Vec::new();
    until(|| {
        found = of(name);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let mut clients = found.remove(0).clients;
    clients.sort_by(|one, other| one.name.cmp(&other.name));
    clients
}

/// That nothing is found, also when everybody has had the time to fall asleep.
fn assert_never_found(name: &str) {
    for _ in 0..100 {
        assert_eq!(of(name), []);
        thread::sleep(Duration::from_millis(1));
    }
}

fn assert_blocked(client: &Blocked, name: &str, holds: &[(&str, u64)], waits_for: &str) {
    assert_eq!((client.name.as_str(), client.waits_for.as_str()), (name, waits_for));
    let held: Vec<_> = client.holds.iter().map(|held| (held.of.as_str(), held.amount)).collect();
    assert_eq!(held, holds);
}

fn spawn_named<'s>(
    scope: &'s thread::Scope<'s, '_>,
    name: &str,
    run: impl FnOnce() + Send + 's,
) -> thread::ScopedJoinHandle<'s, ()> {
    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap()
}

/// Waits for an item until its pool is closed, or whoever has it has given up as another was.
fn wait_in_vain(pool: &RawPool<impl Backend>) {
    if let Ok(item) = pool.get() {
        put(pool, item).unwrap();
    }
}

/// Gets one of the first, meets the others, and waits for one of the second.
fn hold_and_wait(first: &RawPool, second: &RawPool, all_hold: &Barrier) {
    let _client = client::thread();
    let item = first.get().unwrap();
    all_hold.wait();
    wait_in_vain(second);
    put(first, item).unwrap();
}

#[test]
fn two_who_get_from_two_pools_in_opposite_order() {
    let (left, right) = (pool("left", 1), pool("right", 1));
    let both_hold = Barrier::new(2);
    thread::scope(|scope| {
        spawn_named(scope, "leftist", || hold_and_wait(&left, &right, &both_hold));
        spawn_named(scope, "rightist", || hold_and_wait(&right, &left, &both_hold));
        let clients = until_found("leftist");
        assert_eq!(clients.len(), 2, "{clients:?}");
        assert_blocked(&clients[0], "leftist", &[("pool left", 1)], "pool right");
        assert_blocked(&clients[1], "rightist", &[("pool right", 1)], "pool left");
        // As often as it is asked.
        assert_eq!(until_found("rightist"), clients);
        left.close();
        right.close();
    });
    assert_eq!(of("leftist"), []);
}

#[test]
fn one_who_would_not_wait_for_ever_is_in_none() {
    let (left, right) = (pool("early", 1), pool("late", 1));
    let both_hold = Barrier::new(2);
    thread::scope(|scope| {
        spawn_named(scope, "eternal", || hold_and_wait(&left, &right, &both_hold));
        spawn_named(scope, "mortal", || {
            let _client = client::thread();
            let item = right.get().unwrap();
            both_hold.wait();
            let late = left.get_timeout(AGES);
            put(&right, item).unwrap();
            late.into_iter().for_each(|item| put(&left, item).unwrap());
        });
        until_waiting(&left, 1);
        until_waiting(&right, 1);
        assert_never_found("eternal");
        left.close();
        right.close();
    });
}

/// Nor with a time of its own to wait for a page.
#[test]
fn one_who_would_not_wait_for_a_page_for_ever_is_in_none() {
    let pool = pool("pageless", 1);
    thread::scope(|scope| {
        spawn_named(scope, "impatient", || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            assert!(pool.request().grow_timeout(AGES).get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("impatient");
        pool.close();
    });
}

#[test]
fn one_who_waits_for_what_it_holds() {
    let pool = pool("mirror", 2);
    thread::scope(|scope| {
        spawn_named(scope, "narcissus", || {
            let _client = client::thread();
            let items = [pool.get().unwrap(), pool.try_get().unwrap()];
            assert!(pool.get().is_err());
            put_all(&pool, items);
        });
        let clients = until_found("narcissus");
        assert_eq!(clients.len(), 1, "{clients:?}");
        assert_blocked(&clients[0], "narcissus", &[("pool mirror", 2)], "pool mirror");
        pool.close();
    });
}

/// A third has an item of one of the pools. While it runs there is no deadlock; as soon as it waits
/// too there is one of three.
#[test]
fn one_who_runs_keeps_all_from_being_stuck() {
    let (left, right) = (pool("shared", 2), pool("single", 1));
    let (all_hold, (goes_on, go_on)) = (Barrier::new(3), mpsc::channel::<()>());
    thread::scope(|scope| {
        spawn_named(scope, "one", || hold_and_wait(&left, &right, &all_hold));
        spawn_named(scope, "two", || hold_and_wait(&right, &left, &all_hold));
        let (left, all_hold) = (&left, &all_hold);
        spawn_named(scope, "three", move || {
            let _client = client::thread();
            let item = left.get().unwrap();
            all_hold.wait();
            go_on.recv().unwrap();
            wait_in_vain(left);
            put(left, item).unwrap();
        });
        until_waiting(left, 1);
        until_waiting(&right, 1);
        assert_never_found("one");
        goes_on.send(()).unwrap();
        let clients = until_found("one");
        let names: Vec<_> = clients.iter().map(|client| client.name.as_str()).collect();
        assert_eq!(names, ["one", "three", "two"]);
        left.close();
        right.close();
    });
}

/// Whoever has it, has it outside of any client: perhaps elsewhere by now.
#[test]
fn what_is_nobodys_may_be_put() {
    let pool = pool("commons", 2);
    thread::scope(|scope| {
        spawn_named(scope, "commoner", || {
            let of_nobody = pool.get().unwrap();
            let _client = client::thread();
            let of_mine = pool.get().unwrap();
            assert!(pool.get().is_err());
            put_all(&pool, [of_nobody, of_mine]);
        });
        until_waiting(&pool, 1);
        assert_never_found("commoner");
        pool.close();
    });
}

#[test]
fn what_a_client_that_was_left_has_is_nobodys() {
    let pool = pool("estate", 1);
    thread::scope(|scope| {
        spawn_named(scope, "heir", || {
            let _client = client::thread();
            let item = {
                let _ancestor = client::enter("ancestor");
                pool.get().unwrap()
            };
            assert!(pool.get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("heir");
        assert_eq!(of("ancestor"), []);
        pool.close();
    });
}

/// Futures go on where they are polled next.
#[test]
fn what_a_future_got_is_nobodys() {
    let pool = pool("future", 1);
    thread::scope(|scope| {
        spawn_named(scope, "poller", || {
            let _client = client::thread();
            let item = wait_for(pool.get_async()).unwrap();
            assert!(pool.get().is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("poller");
        pool.close();
    });
}

/// A future may be dropped while it waits.
#[test]
fn a_future_that_waits_is_in_none() {
    let pool = pool("awaited", 1);
    thread::scope(|scope| {
        spawn_named(scope, "awaiter", || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            assert!(wait_for(pool.get_async()).is_err());
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        assert_never_found("awaiter");
        pool.close();
    });
}

/// A pool whose items travel is known by the first that does, although a client said otherwise.
#[test]
fn what_is_put_elsewhere_than_it_was_got_is_not_tracked_again() {
    let pool = objects(1).name("travel").build(arena(1)).unwrap();
    thread::scope(|scope| {
        spawn_named(scope, "sender", || {
            let _client = client::thread();
            let sent = pool.get_owned().unwrap();
            thread::spawn(move || drop(sent)).join().unwrap();
            let kept = pool.get().unwrap();
            assert!(pool.get().is_err());
            drop(kept);
        });
        until_waiting(&pool, 1);
        assert_never_found("sender");
        pool.close();
    });
}

#[test]
fn a_part_of_a_thread_has_its_own_name() {
    let (outer, inner) = (pool("outer", 1), pool("inner", 1));
    let both_hold = Barrier::new(2);
    thread::scope(|scope| {
        spawn_named(scope, "worker", || {
            let _request = client::enter("request");
            let of_request = outer.get().unwrap();
            both_hold.wait();
            // The request is stuck as its part is.
            let _parser = client::enter("parser");
            wait_in_vain(&inner);
            put(&outer, of_request).unwrap();
        });
        spawn_named(scope, "another", || {
            let _client = client::enter("reply");
            let of_reply = inner.get().unwrap();
            both_hold.wait();
            wait_in_vain(&outer);
            put(&inner, of_reply).unwrap();
        });
        let clients = until_found("request");
        assert_eq!(clients.len(), 2, "{clients:?}");
        assert_blocked(&clients[0], "reply", &[("pool inner", 1)], "pool outer");
        assert_blocked(&clients[1], "request", &[("pool outer", 1)], "pool inner");
        outer.close();
        inner.close();
    });
}

/// All at once, or nothing: who waits holds nothing.
#[test]
fn reservations_are_in_none() {
    let pool = objects(2).name("reserved").build(arena(2)).unwrap();
    let (holds, held) = mpsc::channel();
    let (frees, freed) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let pool = &pool;
        spawn_named(scope, "first in", move || {
            let _client = client::thread();
            let both = pool.request().reserve(2).unwrap();
            holds.send(()).unwrap();
            freed.recv().unwrap();
            drop(both);
        });
        held.recv().unwrap();
        spawn_named(scope, "second in", move || {
            let _client = client::thread();
            drop(pool.request().reserve(2).unwrap());
        });
        until_waiting(pool, 1);
        assert_never_found("second in");
        assert_eq!(of("first in"), []);
        frees.send(()).unwrap();
    });
    assert_eq!(pool.stats().out, 0);
}

/// But to hold one reservation and wait for another is as bad as anything.
#[test]
fn two_reservations_that_overlap() {
    let pool = objects(3).name("overlap").build(arena(3)).unwrap();
    let both_hold = Barrier::new(2);
    let run = || {
        let _client = client::thread();
        let one = pool.request().reserve(1).unwrap();
        both_hold.wait();
        // One is left, of use to neither.
        assert!(pool.request().reserve(2).is_err());
        drop(one);
    };
    thread::scope(|scope| {
        spawn_named(scope, "greedy", run);
        spawn_named(scope, "greedier", run);
        assert_eq!(until_found("greedy").len(), 2);
        pool.close();
    });
}

/// What is free is of use to the second in line when the first gives up.
#[test]
fn one_in_front_who_would_not_wait_for_ever_leaves_what_is_free() {
    let pool = named("queue", 2).bypass(0).build(arena(2)).unwrap();
    thread::scope(|scope| {
        let (in_line, is_in_line) = mpsc::channel::<()>();
        let pool = &pool;
        spawn_named(scope, "behind", move || {
            let _client = client::thread();
            let item = pool.get().unwrap();
            is_in_line.recv().unwrap();
            assert!(pool.get().is_err());
            put(pool, item).unwrap();
        });
        until(|| pool.stats().out == 1);
        spawn_named(scope, "in front", move || {
            assert!(pool.request().timeout(AGES).get_many(2).is_err());
        });
        until_waiting(pool, 1);
        in_line.send(()).unwrap();
        until_waiting(pool, 2);
        assert_never_found("behind");
        pool.close();
    });
}

fn hold_a_span_and_wait_for_an_item(arena: &Arena, pool: &RawPool<impl Backend>, all: &Barrier) {
    let _client = client::thread();
    let span = arena.alloc(Shape::new(1).unwrap()).unwrap();
    all.wait();
    wait_in_vain(pool);
    arena.free(span).unwrap();
}

fn hold_an_item_and_wait_for_a_span(arena: &Arena, pool: &RawPool<impl Backend>, all: &Barrier) {
    let _client = client::thread();
    let item = pool.get().ok().unwrap();
    all.wait();
    let late = arena.alloc(Shape::new(1).unwrap());
    put(pool, item).unwrap();
    late.into_iter().for_each(|span| arena.free(span).unwrap());
}

/// A getter waits for a page, which another's span is in the way of, who waits for a page that the
/// getter's item keeps.
fn a_pool_and_its_arena<B: Backend>(name: &str, of_arena: impl FnOnce(Arena) -> B) {
    let (getter, spanner) = (format!("getter of {name}"), format!("spanner of {name}"));
    let arena = arena(2);
    let pool = named(name, 4).build(of_arena(arena.clone())).unwrap();
    let both_hold = Barrier::new(2);
    thread::scope(|scope| {
        spawn_named(scope, &getter, || hold_an_item_and_wait_for_a_span(&arena, &pool, &both_hold));
        spawn_named(scope, &spanner, || hold_a_span_and_wait_for_an_item(&arena, &pool, &both_hold));
        let clients = until_found(&getter);
        assert_eq!(clients.len(), 2, "{clients:?}");
        let label = format!("pool {name}");
        assert_eq!((clients[0].holds[0].of.as_str(), clients[0].holds.len()), (label.as_str(), 1));
        let its_arena = &clients[0].waits_for;
        assert!(its_arena.starts_with("arena #"), "{clients:?}");
        assert_eq!((&clients[1].holds[0].of, clients[1].holds[0].amount), (its_arena, 1));
        arena.close();
        pool.close();
    });
}

#[test]
fn a_pool_and_the_arena_that_its_pages_come_from() {
    a_pool_and_its_arena("paged", |arena| arena);
}

#[test]
fn a_pool_whose_getter_sleeps_in_the_arena() {
    a_pool_and_its_arena("classic", |arena| Classic::new(ArenaPages(arena)));
}

/// Another pool has a page of that arena, and somebody has its item who may put it.
#[test]
fn another_pool_of_the_arena_may_give_a_page_back() {
    let arena = arena(3);
    let pool = named("poor", 4).build(arena.clone()).unwrap();
    let rich = named("rich", 1).build(arena.clone()).unwrap();
    let kept = rich.get().unwrap();
    let all_hold = Barrier::new(2);
    thread::scope(|scope| {
        spawn_named(scope, "poor getter", || hold_an_item_and_wait_for_a_span(&arena, &pool, &all_hold));
        spawn_named(scope, "poor spanner", || hold_a_span_and_wait_for_an_item(&arena, &pool, &all_hold));
        until_asked(&arena, 2);
        assert_never_found("poor getter");
        arena.close();
        pool.close();
    });
    put(&rich, kept).unwrap();
}

/// What is being made may come, however long it takes.
#[test]
fn a_factory_may_answer() {
    let (goes_on, go_on) = mpsc::channel::<()>();
    let go_on = kva::sync::Mutex::new(go_on);
    let made = kva::sync::atomic::AtomicU32::new(0);
    let create = move || {
        if made.fetch_add(1, kva::sync::atomic::Ordering::SeqCst) > 0 {
            let _ = go_on.lock().recv();
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let pool = Pool::from_factory(2, Growers::new(1, create)).name("made").build().unwrap();
    thread::scope(|scope| {
        spawn_named(scope, "customer", || {
            let _client = client::thread();
            let one = pool.get().unwrap();
            let other = pool.get();
            drop((one, other));
        });
        until_waiting(&pool, 1);
        assert_never_found("customer");
        drop(goes_on);
    });
    // Where nothing more is made, it is as with any pool.
    thread::scope(|scope| {
        spawn_named(scope, "other customer", || {
            let _client = client::thread();
            let items = [pool.get().unwrap(), pool.get().unwrap()];
            assert!(pool.get().is_err());
            drop(items);
        });
        assert_eq!(until_found("other customer").len(), 1);
        pool.close();
    });
}

/// What a constructor gets goes with its object, which is somebody else's next.
#[test]
fn what_an_object_is_made_of_is_nobodys() {
    let parts = Arc::new(pool("parts", 1));
    let of_parts = parts.clone();
    let pool = Pool::builder(1, move || of_parts.get().unwrap().addr()).build(arena(1)).unwrap();
    thread::scope(|scope| {
        spawn_named(scope, "assembler", || {
            let _client = client::thread();
            drop(pool.get().unwrap());
            assert!(parts.get().is_err());
        });
        until_waiting(&*parts, 1);
        assert_never_found("assembler");
        parts.close();
    });
}

/// A client of so many pools is not known to hold of all of them.
#[test]
fn what_there_is_no_room_to_note_is_counted() {
    let pools: Vec<_> = (0..17).map(|number| pool(&format!("crowd {number}"), 1)).collect();
    let _client = client::enter("collector");
    let before = deadlock::forgotten();
    let items: Vec<_> = pools.iter().map(|pool| pool.get().unwrap()).collect();
    assert_eq!(deadlock::forgotten(), before + 1);
    for (pool, item) in pools.iter().zip(items) {
        put(pool, item).unwrap();
    }
    let last = &pools[16];
    let item = last.get().unwrap();
    assert_eq!(deadlock::forgotten(), before + 1, "there is room again");
    put(last, item).unwrap();
}

/// Set in a process of which all that it says is read.
const ALONE: &str = "POOL_DEADLOCK_ALONE";

/// Stuck once, and others that find them stuck.
#[test]
fn each_is_reported_once() {
    if std::env::var_os(ALONE).is_some() {
        return be_reported();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "each_is_reported_once", "--nocapture"]).env(ALONE, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = said.lines().skip_while(|line| !line.starts_with("deadlock: ")).take(3).collect();
    assert_eq!(said.matches("deadlock: ").count(), 2, "{said}");
    assert_eq!(lines.len(), 3, "{said}");
    for line in [
        "  leftist holds 1 of pool left, and waits for pool right",
        "  rightist holds 1 of pool right, and waits for pool left",
    ] {
        assert_eq!(said.matches(line).count(), 2, "{said}");
    }
}

/// Twice, with somebody who holds something and waits behind them.
fn be_reported() {
    for _ in 0..2 {
        let (left, right, other) = (pool("left", 1), pool("right", 1), pool("other", 1));
        let both_hold = Barrier::new(2);
        thread::scope(|scope| {
            spawn_named(scope, "leftist", || hold_and_wait(&left, &right, &both_hold));
            spawn_named(scope, "rightist", || hold_and_wait(&right, &left, &both_hold));
            until_found("leftist");
            spawn_named(scope, "behind", || hold_and_wait(&other, &left, &Barrier::new(1)));
            until_waiting(&left, 2);
            assert_eq!(of("behind"), [], "it is in no deadlock, but behind one");
            left.close();
            right.close();
        });
    }
}

/// In a process whose standard error is closed.
#[test]
fn nobody_need_listen() {
    if std::env::var_os(ALONE).is_some() {
        return be_reported();
    }
    let mut child = Command::new("sh");
    let run = "exec \"$0\" --exact nobody_need_listen 2>&-";
    let status = child.args(["-c", run]).arg(std::env::current_exe().unwrap()).env(ALONE, "1").status();
    assert!(status.unwrap().success());
}
