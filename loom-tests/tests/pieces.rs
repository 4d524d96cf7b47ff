//! Two buffers want all the pieces there are. Neither waits while it holds one, so both are filled
//! (P2); those who wait while they hold are not.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{bounded, known_bad, model, witnessed};
use loom_tests::world::{QUANTUM, arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::RawPool;
use pool::pieces::{GrowError, PieceBuf};

/// One thread does this, and one that, over two pieces, which the pool holds all the time: what is
/// explored is who gets them. What the first says of it.
fn world<T: Send + 'static>(this: impl Fn(&RawPool) -> T, that: impl Fn(&RawPool) + Send + 'static) -> T {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).max_growing(1).low_water(2).bypass(0).build(arena.clone()).unwrap());
    assert_eq!(pool.prime(2).unwrap(), 2);
    let other = {
        let pool = pool.clone();
        spawn(move || that(&pool))
    };
    let told = this(&pool);
    other.join().unwrap();
    assert_pool_at_rest(&pool, 2);
    drop(pool);
    assert_arena_whole(&arena);
    told
}

/// Both pieces or none, in one place in the line.
fn both(pool: &RawPool) -> PieceBuf {
    let buf = PieceBuf::with_capacity(pool, 2 * QUANTUM).unwrap();
    assert_eq!(buf.pieces(), 2);
    buf
}

/// One after the other; and if the second is not there, both or none. Whether it was not.
fn one_by_one(pool: &RawPool) -> bool {
    let mut buf = PieceBuf::new(pool);
    buf.grow().unwrap();
    match buf.grow() {
        Ok(()) => assert_eq!(buf.pieces(), 2),
        Err(GrowError::NotNow { held, .. }) => {
            assert_eq!((held, buf.pieces()), (1, 1));
            drop(buf);
            drop(both(pool));
            return true;
        }
        Err(other) => panic!("{other:?}"),
    }
    false
}

#[test]
fn all_or_nothing() {
    model("pieces/all_or_nothing", || world(|pool| drop(both(pool)), |pool| drop(both(pool))));
}

#[test]
fn as_it_goes_against_all_or_nothing() {
    witnessed("pieces/as_it_goes", "the second piece was not there", |missing| {
        missing.saw(world(one_by_one, |pool| drop(both(pool))));
    });
}

/// Each may have one when neither has the other's.
#[test]
fn as_they_go() {
    let why = "each thread may get four times, and a try looks again and again";
    bounded("pieces/as_they_go", 6, why, || {
        world(one_by_one, |pool| {
            one_by_one(pool);
        });
    });
}

/// As those do who have a list of pieces and a get that waits.
#[test]
fn waits_while_it_holds() {
    known_bad("pieces/waits_while_it_holds", "deadlock", || {
        let one_by_one = |pool: &RawPool| {
            for item in [(); 2].map(|()| get(pool).unwrap()) {
                put(pool, item);
            }
        };
        world(one_by_one, one_by_one);
    });
}
