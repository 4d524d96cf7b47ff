//! A thread's cache, whose owner gets and puts without the lock, against another thread that is
//! about to wait, or to fail: nothing is stranded in it (P2), and nothing is had by two (P1).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::caching::flawed::{Flaw, Flawed};
use loom_tests::caching::{Caching, Production};
use loom_tests::run::{Witness, known_bad, model, witnessed};

/// Both are at one cache: loom says it, who sees each access.
const RACE: &str = "Causality violation";

/// An owner puts what another begins to wait for.
fn put_against_wait<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let item = pool.get();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get())
    };
    pool.put(item);
    pool.put(getter.join().unwrap());
    pool.assert_at_rest();
}

/// Each of the two has a cache, which is swept.
#[test]
fn put_while_another_begins_to_wait() {
    model("caches/put_against_wait", || put_against_wait(Production::new(1)));
}

#[test]
fn put_while_another_waits_and_sweeps_nothing() {
    known_bad("caches/sweeps_nothing", "deadlock", || put_against_wait(Flawed::new(Flaw::SweepsNothing, 1)));
}

/// As much as the cache has room for is in it already: the item goes to the depot.
fn exchange_against_wait<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let mut items = pool.get_many(3);
    let last = items.pop().unwrap();
    pool.put_all(items);
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get_many(3))
    };
    pool.put(last);
    pool.put_all(getter.join().unwrap());
    pool.assert_at_rest();
}

#[test]
fn put_into_the_depot_while_another_begins_to_wait() {
    model("caches/exchange_against_wait", || exchange_against_wait(Production::with_one_cache(3)));
}

#[test]
fn put_into_a_depot_that_is_not_swept() {
    known_bad("caches/sweeps_no_depot", "deadlock", || {
        exchange_against_wait(Flawed::new(Flaw::SweepsNoDepot, 3));
    });
}

/// An owner gets what is in its cache and puts it again, while another begins to wait for it.
fn get_against_wait<P: Caching>(pool: P, swept: &Witness) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get())
    };
    let item = pool.try_get();
    swept.saw(item.is_none());
    pool.put_all(item);
    pool.put(getter.join().unwrap());
    pool.assert_at_rest();
}

#[test]
fn got_while_another_begins_to_wait() {
    witnessed("caches/get_against_wait", "its item was swept", |swept| {
        get_against_wait(Production::with_one_cache(1), swept);
    });
}

/// An owner gets one of the two items in its cache, while another tries to get one.
fn get_against_try<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    pool.put_all(pool.get_many(2));
    let other = {
        let pool = pool.clone();
        spawn(move || pool.try_get().expect("one is cached"))
    };
    let mine = pool.try_get().expect("one is cached");
    pool.put(other.join().unwrap());
    pool.put(mine);
    pool.assert_at_rest();
}

#[test]
fn got_while_another_tries() {
    model("caches/get_against_try", || get_against_try(Production::with_one_cache(2)));
}

#[test]
fn tried_and_not_swept() {
    known_bad("caches/tries_without_sweeping", "one is cached", || {
        get_against_try(Flawed::new(Flaw::TriesWithoutSweeping, 2));
    });
}

#[test]
fn swept_while_its_owner_is_inside() {
    known_bad("caches/sweeps_past_the_busy", RACE, || {
        get_against_try(Flawed::new(Flaw::SweepsPastTheBusy, 2));
    });
}

/// One tries while another takes back what is cached: it is not nowhere meanwhile.
fn try_against_drain<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let drainer = {
        let pool = pool.clone();
        spawn(move || pool.drain())
    };
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.try_get().expect("one is cached"))
    };
    pool.put(getter.join().unwrap());
    drainer.join().unwrap();
    pool.assert_at_rest();
}

#[test]
fn tried_while_another_sweeps() {
    model("caches/try_against_drain", || try_against_drain(Production::with_one_cache(1)));
}

#[test]
fn tried_while_another_sweeps_and_the_back_end_is_asked() {
    model("caches/try_and_ask_against_drain", || {
        try_against_drain(Production::with_room_for_pages(1, 2));
    });
}

#[test]
fn tried_and_not_swept_since_another_does() {
    known_bad("caches/tries_beside_a_sweep", "one is cached", || {
        try_against_drain(Flawed::new(Flaw::TriesBesideSweep, 1));
    });
}
