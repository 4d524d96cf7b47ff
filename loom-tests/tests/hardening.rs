//! What a hardened pool keeps from whoever comes next, against one who is about to wait (P2), and a drain
//! (P6); and of two puts of one item, one is found.

#![cfg(loom)] // where the pool has the feature

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::quarantined::{Flaw, Naive, Production, Quarantined};
use loom_tests::run::{known_bad, model};

/// An item goes into quarantine while another begins to wait for it.
fn put_against_wait(pool: impl Quarantined) {
    let pool = Arc::new(pool);
    let item = pool.get();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get())
    };
    assert!(pool.put(item));
    assert!(pool.put(getter.join().unwrap()));
    pool.assert_at_rest();
}

#[test]
fn put_while_another_begins_to_wait() {
    model("hardening/put_against_wait", || put_against_wait(Production::new()));
}

#[test]
fn put_while_another_waits_and_forgets_the_ring() {
    known_bad("hardening/waits_for_quarantine", "deadlock", || {
        put_against_wait(Naive::new(Flaw::ForgetsRing));
    });
}

#[test]
fn put_into_quarantine_while_scarce() {
    known_bad("hardening/quarantined_while_scarce", "deadlock", || {
        put_against_wait(Naive::new(Flaw::WhileScarce));
    });
}

/// An item goes into quarantine while another gives up what is idle: it is idle then, or soon.
fn put_against_drain(pool: impl Quarantined) {
    let pool = Arc::new(pool);
    let item = pool.get();
    let drainer = {
        let pool = pool.clone();
        spawn(move || pool.drain())
    };
    assert!(pool.put(item));
    drainer.join().unwrap();
    pool.assert_at_rest();
}

#[test]
fn put_while_another_drains() {
    model("hardening/put_against_drain", || put_against_drain(Production::new()));
}

#[test]
fn put_while_another_drains_and_forgets_the_ring() {
    known_bad("hardening/drain_leaves_quarantine", "rest: an item was lost or kept", || {
        put_against_drain(Naive::new(Flaw::ForgetsRing));
    });
}

/// Two put the same item.
fn two_puts(pool: impl Quarantined) {
    let pool = Arc::new(pool);
    let item = pool.get();
    let other = {
        let pool = pool.clone();
        spawn(move || pool.put(item))
    };
    let mine = pool.put(item);
    let theirs = other.join().unwrap();
    assert!(!(mine && theirs), "both have put it");
    assert!(mine || theirs, "nobody has put it");
    pool.assert_at_rest();
}

#[test]
fn one_item_put_by_two() {
    model("hardening/two_puts", || two_puts(Production::new()));
}

#[test]
fn one_item_put_by_two_without_a_claim() {
    known_bad("hardening/puts_without_a_claim", "both have put it", || two_puts(Naive::new(Flaw::NoClaim)));
}
