//! Two buffers want all the pieces there are. Neither waits while it holds one, so both are filled
//! (P2); those who wait while they hold are not.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{QUANTUM, arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::RawPool;
use pool::pieces::{GrowError, PieceBuf};

/// Two threads do the same, over two pieces. What they say of it.
fn world<T: Send + 'static>(fill: impl Fn(&RawPool) -> T + Copy + Send + 'static) -> [T; 2] {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
    let other = {
        let pool = pool.clone();
        spawn(move || fill(&pool))
    };
    let both = [fill(&pool), other.join().unwrap()];
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
    both
}

/// Both pieces or none, in one place in the line.
fn both(pool: &RawPool) -> PieceBuf {
    let buf = PieceBuf::with_capacity(pool, 2 * QUANTUM).unwrap();
    assert_eq!(buf.pieces(), 2);
    buf
}

#[test]
fn all_or_nothing() {
    model("pieces/all_or_nothing", || {
        world(|pool| drop(both(pool)));
    });
}

/// One after the other; and all or nothing if the second is not there.
#[test]
fn as_they_go() {
    witnessed("pieces/as_they_go", "the second piece was not there", |missing| {
        let begun_again = world(|pool| {
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
        });
        missing.saw(begun_again.contains(&true));
    });
}

/// As those do who have a list of pieces and a get that waits.
#[test]
fn waits_while_it_holds() {
    known_bad("pieces/waits_while_it_holds", "deadlock", || {
        world(|pool| {
            for item in [(); 2].map(|()| get(pool).unwrap()) {
                put(pool, item);
            }
        });
    });
}
