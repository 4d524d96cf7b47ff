//! Quotas: who may have no more is held back, holds up nobody, and goes on when some of its own
//! is freed.

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Client, Span};
use loom_tests::asking::Asker;
use loom_tests::historical::KeepsOwnTime;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, numbers, one, pages, put};
use pool::Backend;

/// Two quanta of which somebody may have one and has it, and others the second. They go on asking.
trait Lent: Clone + Send + 'static {
    fn new() -> Self;
    /// Who may have no more asks.
    fn ask_over(&self);
    /// Somebody else asks.
    fn ask(&self);
    /// Who may have no more frees what it has.
    fn free_own(&self);
    /// The others free theirs.
    fn free_other(&self);
    /// How many of who may have no more, and of the others, were served.
    fn served(&self) -> (usize, usize);
    fn end(&self) {}
}

#[derive(Clone)]
struct Real {
    arena: Arena,
    client: Arena,
    own: Span,
    other: Span,
    over: Asker,
    asker: Asker,
}

impl Lent for Real {
    fn new() -> Self {
        let arena = numbers(2, 0);
        let client = arena.client(Client::new("one").quota(1)).unwrap();
        let (own, other) = (client.try_alloc(one()).unwrap(), arena.try_alloc(one()).unwrap());
        Self { arena, client, own, other, over: Asker::new(1), asker: Asker::new(1) }
    }
    fn ask_over(&self) {
        self.over.ask(&self.client, 0, one());
    }
    fn ask(&self) {
        self.asker.ask(&self.arena, 0, one());
    }
    fn free_own(&self) {
        self.arena.free(self.own).unwrap();
    }
    fn free_other(&self) {
        self.arena.free(self.other).unwrap();
    }
    fn served(&self) -> (usize, usize) {
        (self.over.granted(), self.asker.granted())
    }
    fn end(&self) {
        self.over.free_all(&self.arena);
        self.asker.free_all(&self.arena);
        assert_eq!(self.client.used(), 0);
        assert_arena_whole(&self.arena);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Over,
    Other,
}

/// A count, a quota and a line, under one lock.
#[derive(Default)]
struct Count {
    free: usize,
    has: usize,
    line: Vec<Who>,
    held_back: usize,
    served: (usize, usize),
}

impl Count {
    fn grant(&mut self, blocks: bool) {
        let mut at = 0;
        while self.free > 0 && at < self.line.len() {
            if self.line[at] == Who::Over && self.has > 0 {
                if blocks {
                    return;
                }
                at += 1;
                continue;
            }
            self.free -= 1;
            match self.line.remove(at) {
                Who::Over => (self.has, self.served.0) = (1, self.served.0 + 1),
                Who::Other => self.served.1 += 1,
            }
        }
    }
}

/// Without an account of its own: `BLOCKS` the line, or else is held back in two steps.
#[derive(Clone)]
struct Naive<const BLOCKS: bool>(Arc<Mutex<Count>>);

impl<const BLOCKS: bool> Lent for Naive<BLOCKS> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Count { has: 1, ..Count::default() })))
    }
    fn ask_over(&self) {
        if BLOCKS || self.0.lock().has == 0 {
            let mut count = self.0.lock();
            count.line.push(Who::Over);
            count.grant(BLOCKS);
        } else {
            self.0.lock().held_back += 1;
        }
    }
    fn ask(&self) {
        let mut count = self.0.lock();
        count.line.push(Who::Other);
        count.grant(BLOCKS);
    }
    fn free_own(&self) {
        let mut count = self.0.lock();
        (count.free, count.has) = (count.free + 1, 0);
        let resumed = std::mem::take(&mut count.held_back);
        count.line.extend(std::iter::repeat_n(Who::Over, resumed));
        count.grant(BLOCKS);
    }
    fn free_other(&self) {
        let mut count = self.0.lock();
        count.free += 1;
        count.grant(BLOCKS);
    }
    fn served(&self) -> (usize, usize) {
        self.0.lock().served
    }
}

/// Both are freed while both ask: both are served.
fn against_free<L: Lent>() {
    let lent = L::new();
    let own = {
        let lent = lent.clone();
        spawn(move || lent.free_own())
    };
    let other = {
        let lent = lent.clone();
        spawn(move || lent.free_other())
    };
    lent.ask_over();
    lent.ask();
    own.join().unwrap();
    other.join().unwrap();
    assert_eq!(lent.served(), (1, 1), "somebody waits beside what is free");
    lent.end();
}

#[test]
fn who_is_held_back_while_its_own_is_freed() {
    model("quota/held_back_against_free", against_free::<Real>);
}

#[test]
fn who_is_held_back_too_late() {
    known_bad("quota/held_back_in_two_steps", "waits beside what is free", against_free::<Naive<false>>);
}

/// What others freed is for others, however long somebody has waited who may have no more.
fn holds_up<L: Lent>() {
    let lent = L::new();
    lent.ask_over();
    let freer = {
        let lent = lent.clone();
        spawn(move || lent.free_other())
    };
    lent.ask();
    freer.join().unwrap();
    assert_eq!(lent.served(), (0, 1), "held up by who may have no more");
    lent.free_own();
    assert_eq!(lent.served(), (1, 1));
    lent.end();
}

#[test]
fn who_may_have_no_more_holds_up_nobody() {
    model("quota/holds_up_nobody", holds_up::<Real>);
}

#[test]
fn who_may_have_no_more_counts_in_the_line() {
    known_bad("quota/counts_in_the_line", "held up by who may have no more", holds_up::<Naive<true>>);
}

/// Two pools that are lent one quantum together, each of which needs it once.
fn two_pools<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(2, 0);
    let both = arena.client(Client::new("both").quota(1)).unwrap();
    let pools = [(); 2].map(|()| Arc::new(pages(1).bypass(0).build(backend(both.clone())).unwrap()));
    let [first, second] = &pools;
    let getter = {
        let pool = first.clone();
        spawn(move || put(&pool, pool.get().unwrap()))
    };
    put(second, get(second).unwrap());
    getter.join().unwrap();
    for pool in pools {
        assert_pool_at_rest(&pool, 0);
    }
    assert_arena_whole(&arena);
}

#[test]
fn pools_of_one_client() {
    model("quota/pools_of_one_client", || two_pools(|arena| arena));
}

#[test]
fn a_pool_that_keeps_its_clients_quantum() {
    known_bad("quota/keeps_idle", "deadlock", || two_pools(KeepsOwnTime));
}

/// A pool recycles what its client may have among its own getters, while somebody of the same
/// client has waited longer for it.
fn recycling<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(2, 0);
    let client = arena.client(Client::new("both").quota(1)).unwrap();
    let pool = Arc::new(pages(1).bypass(0).build(backend(client.clone())).unwrap());
    let item = get(&pool).unwrap();
    let older = Asker::new(1);
    older.ask(&client, 0, one());
    let younger = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, item);
    assert_eq!(older.granted(), 1, "the older request was starved");
    older.free_all(&arena);
    put(&pool, younger.join().unwrap());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_eq!(client.used(), 0);
    assert_arena_whole(&arena);
}

#[test]
fn the_older_request_of_a_client_first() {
    model("quota/older_first", || recycling(|arena| arena));
}

#[test]
fn a_pool_that_keeps_its_own_time_within_a_client() {
    known_bad("quota/own_time", "the older request was starved", || recycling(KeepsOwnTime));
}
