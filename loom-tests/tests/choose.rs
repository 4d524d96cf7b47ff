//! One who waits for any of several: exactly one commits, the others are withdrawn, and what they were
//! granted is there for the next (P2, P5).

use std::cell::Cell;
use std::pin::Pin;
use std::time::{Duration, Instant};

use kva::Arena;
use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::choosing::{Chooser, EndFlaw, NaiveEnd, SOON};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{
    Item, arena, assert_arena_whole, assert_pool_at_rest, block_on, numbers, one, pages, put, waiting,
};
use pool::choose::{Nack, choose, deadline, never, with_nack};
use pool::{GetError, RawPool};

fn pool_of_one(bypass: u32) -> (Arena, Arc<RawPool>) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    (arena, pool)
}

fn take(pool: &RawPool) -> Item {
    pool.try_get().unwrap().into()
}

fn assert_rests((arena, pool): (Arena, Arc<RawPool>)) -> u64 {
    let gets = assert_pool_at_rest(&pool, 0).gets;
    drop(pool);
    assert_arena_whole(&arena);
    gets
}

/// One waits for either of two pools. Another thread puts into this one of them, while the chooser's own
/// puts into the other and then looks.
fn commit_against_commit(chooser: Chooser, this: usize, both: &Witness) {
    let worlds = [pool_of_one(0), pool_of_one(0)];
    let items = [0, 1].map(|at| take(&worlds[at].1));
    let pools = [0, 1].map(|at| worlds[at].1.clone());
    let chooses = waiting(chooser.visit(pools.clone()));
    let puts = {
        let pool = pools[this].clone();
        spawn(move || put(&pool, items[this]))
    };
    put(&pools[1 - this], items[1 - this]);
    block_on(chooses);
    puts.join().unwrap();
    drop(pools);
    // One got by this thread in each; by the chooser, one in all, and one more that it did not take.
    let gets: u64 = worlds.map(assert_rests).into_iter().sum();
    assert!(gets == 3 || gets == 4, "{gets} were got");
    both.saw(gets == 4);
}

#[test]
fn two_puts_and_one_chooser() {
    witnessed("choose/commit_against_commit", "both were granted", |both| {
        commit_against_commit(Chooser::Real, 1, both);
    });
    // The one that it asks first.
    witnessed("choose/commit_against_commit/first", "both were granted", |both| {
        commit_against_commit(Chooser::Real, 0, both);
    });
}

#[test]
fn two_puts_and_one_that_forgets() {
    known_bad("choose/forgets_the_loser", "rest: a page was lost", || {
        commit_against_commit(Chooser::ForgetsTheLoser, 1, &Witness::default());
    });
}

/// A put while time is up.
fn commit_against_nack(chooser: Chooser, bypass: u32, got: &Witness) {
    let world = pool_of_one(bypass);
    let item = take(&world.1);
    let chooses = {
        let pool = world.1.clone();
        spawn(move || {
            let (found, told) = chooser.item_soon(&pool);
            assert_eq!(told, found.is_none(), "a nack comes to what is not chosen, and to nothing else");
            if let Some(item) = found {
                put(&pool, item);
            }
            !told
        })
    };
    put(&world.1, item);
    got.saw(chooses.join().unwrap());
    assert_rests(world);
}

#[test]
fn a_put_against_a_deadline() {
    witnessed("choose/commit_against_nack", "it was put in time", |got| {
        commit_against_nack(Chooser::Real, 0, got);
    });
}

#[test]
fn a_kick_against_a_deadline() {
    witnessed("choose/kick_against_nack", "it was put in time", |got| {
        commit_against_nack(Chooser::Real, 1, got);
    });
}

/// A put while a moment comes that is another event of the choice.
#[test]
fn a_put_against_a_moment() {
    witnessed("choose/commit_against_moment", "the moment had come", |come| {
        let world = pool_of_one(0);
        let item = take(&world.1);
        let chooses = {
            let pool = world.1.clone();
            spawn(move || {
                // They pass when loom wants, but not as they are first looked at; the sooner one first.
                let late = [2, 1].map(|hours| {
                    deadline(Instant::now() + Duration::from_hours(hours)).wrap(move |()| Err(hours))
                });
                let chosen = choose((pool.get_event().wrap(Ok), choose(late))).sync();
                let late = chosen.map(|item| put(&pool, item.unwrap())).err();
                assert!(late.is_none_or(|hours| hours == 1), "the moment that comes first");
                late.is_some()
            })
        };
        put(&world.1, item);
        come.saw(chooses.join().unwrap());
        assert_rests(world);
    });
}

/// What it was granted as its time was up is nobody's.
#[test]
fn a_deadline_that_forgets() {
    known_bad("choose/forgets_at_its_deadline", "rest: a page was lost", || {
        commit_against_nack(Chooser::LeavesWithoutAWord, 0, &Witness::default());
    });
}

/// A future is polled once, and dropped while an item is put.
fn dropped_future(chooser: Chooser, bypass: u32) {
    let world = pool_of_one(bypass);
    let item = take(&world.1);
    let chooses = {
        let pool = world.1.clone();
        spawn(move || {
            if let Some(item) = chooser.item_at_once(&pool) {
                put(&pool, item);
            }
        })
    };
    put(&world.1, item);
    // And who comes after it has it.
    put(&world.1, Item::from(world.1.get().unwrap()));
    chooses.join().unwrap();
    assert_rests(world);
}

#[test]
fn a_dropped_future() {
    model("choose/dropped_future", || dropped_future(Chooser::Real, 0));
}

#[test]
fn a_dropped_future_that_was_kicked() {
    model("choose/dropped_and_kicked", || dropped_future(Chooser::Real, 1));
}

#[test]
fn a_future_that_is_forgotten() {
    known_bad("choose/leaves_without_a_word", "rest: a page was lost", || {
        dropped_future(Chooser::LeavesWithoutAWord, 0);
    });
}

/// Two choose between the same two pools, in opposite order, of which one has an item: whoever puts it
/// puts it for the other one, and there the second item comes.
#[test]
fn two_choosers_in_opposite_order() {
    model("choose/chooser_against_chooser", || {
        let worlds = [pool_of_one(0), pool_of_one(0)];
        let [one, other] = [0, 1].map(|at| worlds[at].1.clone());
        put(&one, take(&one));
        let second = take(&other);
        let visit = Chooser::Real.visit([one.clone(), other.clone()]);
        let chooses = spawn(move || block_on(visit));
        block_on(Chooser::Real.visit([other.clone(), one]));
        put(&other, second);
        chooses.join().unwrap();
        drop(other);
        for world in worlds {
            assert_rests(world);
        }
    });
}

/// Who would have one of each first waits for the other with one in hand.
#[test]
fn two_that_take_all_in_opposite_order() {
    known_bad("choose/takes_all", "deadlock", || {
        let worlds = [pool_of_one(0), pool_of_one(0)];
        let [one, other] = [0, 1].map(|at| worlds[at].1.clone());
        put(&one, take(&one));
        let held = take(&other);
        let opposite = {
            let [one, other] = [one.clone(), other.clone()];
            spawn(move || {
                put(&one, Item::from(one.get().unwrap()));
                put(&other, held);
            })
        };
        block_on(Chooser::TakesAll.visit([one, other]));
        opposite.join().unwrap();
    });
}

/// An arena delivers while an item is put.
fn nack_against_delivery(chooser: Chooser) {
    let numbers = numbers(1, 0);
    let held = numbers.try_alloc(one()).unwrap();
    let world = pool_of_one(0);
    let item = take(&world.1);
    let chooses = {
        let (arena, pool) = (numbers.clone(), world.1.clone());
        spawn(move || block_on(chooser.visit_span_or_item(arena, pool)))
    };
    numbers.free(held).unwrap();
    put(&world.1, item);
    chooses.join().unwrap();
    assert_rests(world);
    assert_arena_whole(&numbers);
}

#[test]
fn a_span_is_granted_to_who_has_an_item() {
    model("choose/nack_against_delivery", || nack_against_delivery(Chooser::Real));
}

#[test]
fn a_span_is_granted_to_who_forgets_it() {
    known_bad("choose/loses_the_span", "rest:", || nack_against_delivery(Chooser::ForgetsTheLoser));
}

/// A page is delivered to the pool while its chooser's time is up.
#[test]
fn a_page_is_delivered_to_who_is_gone() {
    witnessed("choose/nack_against_a_page", "it came too late", |late| {
        let (arena, pool) = pool_of_one(0);
        let others = arena.try_alloc(one()).unwrap();
        let chooses = {
            let pool = pool.clone();
            spawn(move || {
                if let Some(item) = choose((pool.get_event(), never())).sync_timeout(SOON) {
                    put(&pool, item.unwrap());
                }
            })
        };
        arena.free(others).unwrap();
        chooses.join().unwrap();
        late.saw(pool.stats().gets == 0);
        assert_rests((arena, pool));
    });
}

/// A pool is closed while an item is put, and one waits for either.
#[test]
fn a_close_against_a_put() {
    witnessed("choose/close_against_put", "it heard of the close", |heard| {
        let (arena, pool) = pool_of_one(0);
        let item = take(&pool);
        let got = pool.get_event().wrap(|item| Some(item.map(Item::from)));
        let chooses = waiting(choose((got, pool.closed_event().wrap(|()| None))).into_future());
        let closes = {
            let pool = pool.clone();
            spawn(move || pool.close())
        };
        put(&pool, item);
        let chosen = block_on(chooses);
        heard.saw(!matches!(chosen, Some(Ok(_))));
        match chosen {
            Some(Ok(item)) => put(&pool, item),
            Some(Err(error)) => assert!(matches!(error, GetError::Closed), "{error:?}"),
            None => (),
        }
        closes.join().unwrap();
        assert_rests((arena, pool));
    });
}

/// One comes to watch the close.
#[test]
fn a_close_is_told_to_who_comes() {
    model("choose/closed_and_told", || {
        let (arena, pool) = pool_of_one(0);
        let watches = {
            let pool = pool.clone();
            spawn(move || pool.closed_event().sync())
        };
        pool.close();
        watches.join().unwrap();
        assert_rests((arena, pool));
    });
}

/// One watches the close, another stops watching.
#[test]
fn a_close_is_told_to_who_watches() {
    model("choose/closed_and_left", || {
        let (arena, pool) = pool_of_one(0);
        let watch = || {
            let pool = pool.clone();
            waiting(async move { pool.closed_event().await })
        };
        let [watches, leaves] = [watch(), watch()];
        let watches = spawn(move || block_on(watches));
        let leaves = spawn(move || drop(leaves));
        pool.close();
        watches.join().unwrap();
        leaves.join().unwrap();
        assert_rests((arena, pool));
    });
}

/// Who comes between the two is told neither way.
#[test]
fn a_close_that_is_told_before_it_is_seen() {
    known_bad("choose/closed_quietly", "deadlock", || hears_of(NaiveEnd::new(EndFlaw::TellsBeforeItIsSeen)));
}

/// An event is withdrawn while another thread comes to hear of it, and one waits to hear of it already.
#[test]
fn a_nack_is_told() {
    model("choose/nack_told", || {
        let told = Cell::new(None);
        let asks = with_nack(|nack| {
            told.set(Some(nack));
            never::<()>()
        });
        let event = waiting(asks.into_future());
        let nack: Nack = told.take().expect("it was synced on");
        let heard = waiting(nack.event().into_future());
        let hears = {
            let nack = nack.clone();
            spawn(move || nack.event().sync())
        };
        drop(event);
        hears.join().unwrap();
        block_on(heard);
        assert!(nack.is_told());
    });
}

type Waits<'p> = Pin<Box<dyn Future<Output = ()> + 'p>>;

/// Somebody was granted an item, and is dropped without having been told of it. Who hears of the nack
/// finds the item.
fn nack_comes_last(begin: for<'p> fn(&'p RawPool, &'p Cell<Option<Nack>>) -> Vec<Waits<'p>>) {
    let world = pool_of_one(0);
    let item = take(&world.1);
    let told = Cell::new(None);
    let waits = begin(&world.1, &told);
    put(&world.1, item);
    let nack = told.take().expect("it was synced on");
    let hears = {
        let pool = world.1.clone();
        spawn(move || {
            nack.event().sync();
            let item = pool.try_get();
            put(&pool, item.expect("it was told before all was withdrawn"));
        })
    };
    drop(waits);
    hears.join().unwrap();
    assert_rests(world);
}

#[test]
fn a_nack_comes_last() {
    model("choose/nack_comes_last", || {
        nack_comes_last(|pool, told| {
            let asks = with_nack(|nack| {
                told.set(Some(nack));
                pool.get_event().wrap(drop)
            });
            vec![waiting(asks.into_future())]
        });
    });
}

/// As one that is told and then withdraws what it waits for.
#[test]
fn a_nack_that_comes_first() {
    known_bad("choose/nack_comes_first", "it was told before all was withdrawn", || {
        nack_comes_last(|pool, told| {
            let asks = with_nack(|nack| {
                told.set(Some(nack));
                never()
            });
            vec![waiting(asks.into_future()), waiting(async { drop(pool.get_async().await) })]
        });
    });
}

/// What comes between the two is only noted.
#[test]
fn a_nack_that_is_looked_for_before_the_line() {
    known_bad("choose/nack_noted", "deadlock", || hears_of(NaiveEnd::new(EndFlaw::LooksBeforeTheLine)));
}

/// One comes to hear of an end.
fn hears_of(end: NaiveEnd) {
    let end = Arc::new(end);
    let hears = {
        let end = end.clone();
        spawn(move || end.wait())
    };
    end.set();
    hears.join().unwrap();
}
