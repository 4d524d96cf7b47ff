//! The graph of the process, and how pools, arenas and clients tell it what they do.

use std::cell::Cell;
use std::fmt;
use std::io::Write;

use super::Resource;
use super::deadlock::Cycle;
pub use super::graph::Client;
use super::graph::Graph;
use crate::sync::unseen::{AtomicU32, zeroed};
use crate::sync::{GlobalMutex, Weak, thread, thread_value};

static GRAPH: GlobalMutex<Graph> = GlobalMutex::new(Graph::new());

/// Whether each thread is a client.
static EACH_THREAD: AtomicU32 = AtomicU32::new(0);

/// Beside a client's number: what is got is nobody's.
const FOR_OTHERS: u32 = 1 << 31;

thread_value! {
    static CURRENT: Cell<u32> = Cell::new(0);
}

thread_value! {
    static THREAD: ThreadClient = ThreadClient(Cell::new(Client::NOBODY));
}

/// The client that a thread is since [`each_thread`].
struct ThreadClient(Cell<Client>);

impl Drop for ThreadClient {
    fn drop(&mut self) {
        leave(self.0.get());
    }
}

/// The innermost client of the calling thread.
pub fn current() -> Client {
    Client(CURRENT.with(Cell::get) & !FOR_OTHERS)
}

fn set_current(client: Client) {
    CURRENT.with(|current| current.set(client.0 | (current.get() & FOR_OTHERS)));
}

/// The client that has what the calling thread gets.
fn keeper() -> Client {
    match CURRENT.with(Cell::get) {
        0 if EACH_THREAD.get() != 0 => enter_thread(),
        at if at & FOR_OTHERS != 0 => Client::NOBODY,
        at => Client(at),
    }
}

#[cold]
fn enter_thread() -> Client {
    let enter = |own: &ThreadClient| {
        own.0.set(new_client(None));
        set_current(own.0.get());
        own.0.get()
    };
    // A thread that has no locals any more is at its end.
    THREAD.try_with(enter).unwrap_or_default()
}

fn new_client(name: Option<&str>) -> Client {
    let (thread, outer) = (thread::current(), current());
    let name = match name.or_else(|| thread.name()) {
        Some(name) => name.into(),
        None => format!("{:?}", thread.id()).into(),
    };
    GRAPH.with(|graph| graph.enter(name, thread.id(), outer))
}

fn leave(client: Client) {
    if client.is_nobody() {
        return;
    }
    let outer = GRAPH.with(|graph| graph.leave(client));
    if current() == client {
        set_current(outer);
    }
}

/// A client, until this is dropped.
#[derive(Debug)]
pub(super) struct Entered(Client);

impl Drop for Entered {
    fn drop(&mut self) {
        leave(self.0);
    }
}

pub(super) fn enter(name: Option<&str>) -> Entered {
    let client = new_client(name);
    set_current(client);
    Entered(client)
}

pub(super) fn each_thread() {
    EACH_THREAD.set(1);
}

/// Calls `f`, which gets for others: a back-end for its pool, a constructor for whoever has the object.
pub fn as_nobody<R>(f: impl FnOnce() -> R) -> R {
    struct Restores(u32);
    impl Drop for Restores {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(current.get() & !FOR_OTHERS | self.0));
        }
    }
    let before = CURRENT.with(|current| current.replace(current.get() | FOR_OTHERS));
    let _restores = Restores(before & FOR_OTHERS);
    f()
}

/// Who has each of the things that a pool or an arena hands out, by place.
#[derive(Debug)]
pub struct Holders(Box<[AtomicU32]>);

impl Holders {
    /// Of so many places. `None`: there is no memory for that.
    #[must_use]
    pub fn new(places: usize) -> Option<Self> {
        zeroed(places).map(Self)
    }

    /// Whether it is known who has what starts at a place.
    #[must_use]
    pub fn is_known(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|holder| holder.get() != 0)
    }

    /// What starts at `to` was part of what starts at `from`.
    pub fn split(&self, from: usize, to: usize) {
        if let (Some(from), Some(to)) = (self.0.get(from), self.0.get(to)) {
            to.set(from.get());
        }
    }
}

/// What a pool or an arena tells of itself.
pub struct Holds {
    /// Which one it is; 0: of nobody's interest yet.
    id: AtomicU32,
    /// Whether anything was put elsewhere than it was got.
    travels: AtomicU32,
}

impl fmt::Debug for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holds({})", self.id.get())
    }
}

impl Default for Asleep {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self::new()
    }
}

impl Holds {
    /// Of one that is not known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { id: AtomicU32::new(0), travels: AtomicU32::new(0) }
    }

    /// It is known from now on, as `label`, or by its kind and number where that is empty; its pages
    /// come from the arena `below`.
    pub fn register(
        &self,
        kind: &str,
        name: Option<&str>,
        below: Option<&Self>,
        hook: impl FnOnce() -> Weak<dyn Resource>,
    ) {
        let below = below.map(|below| below.id.get());
        let hook = hook();
        let id = GRAPH.with(|graph| {
            graph.add(below, hook, |id| match name {
                Some(name) => format!("{kind} {name}").into(),
                None => format!("{kind} #{id}").into(),
            })
        });
        self.id.set(id);
    }

    /// The calling thread got `amount` of it, which starts at a place. With no lock held.
    pub fn got(&self, holders: &Holders, at: usize, amount: u32) {
        let client = keeper();
        if client.is_nobody() || self.travels.get() != 0 {
            return;
        }
        // An arena may have had a region added. What is in there is nobody's.
        let Some(holder) = holders.0.get(at) else { return };
        let resource = self.id.get();
        if GRAPH.with(|graph| graph.hold(client, resource, u64::from(amount))) {
            holder.set(client.0);
        }
    }

    /// The calling thread is about to put `amount` of it, which starts at a place. With no lock held,
    /// if it was not told before.
    pub fn puts(&self, holders: &Holders, at: usize, amount: u32) {
        let Some(holder) = holders.0.get(at).filter(|holder| holder.get() != 0) else { return };
        let client = Client(holder.get());
        holder.set(0);
        let resource = self.id.get();
        let got_on = GRAPH.with(|graph| graph.put(client, resource, u64::from(amount)));
        if got_on != thread::current().id() {
            self.travels.set(1);
        }
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        let id = self.id.get();
        if id != 0 {
            GRAPH.with(|graph| graph.remove(id));
        }
    }
}

/// A client asleep, or not. Awake when dropped.
#[derive(Debug)]
pub struct Asleep(Client);

impl Asleep {
    /// Awake.
    #[must_use]
    pub const fn new() -> Self {
        Self(Client::NOBODY)
    }

    /// The calling thread sleeps for it from now on, without a deadline, and does nothing until it was
    /// served. With no lock held. Says so where that is a deadlock.
    pub fn begin(&mut self, holds: &Holds) {
        let client = current();
        if client.is_nobody() || !self.0.is_nobody() {
            return;
        }
        self.0 = client;
        if GRAPH.with(|graph| graph.sleep(client, holds.id.get())) {
            report(client);
        }
    }

    /// It goes on.
    pub fn end(&mut self) {
        let client = std::mem::take(&mut self.0);
        if !client.is_nobody() {
            GRAPH.with(|graph| graph.wake(client));
        }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks those that are waited for how they are, one after the other.
fn ask() {
    let mut last = 0;
    while let Some((id, moment, hook)) = GRAPH.with(|graph| graph.next_to_ask(last)) {
        let vitals = hook.upgrade().map(|resource| resource.vitals());
        GRAPH.with(|graph| graph.note(id, moment, vitals));
        last = id;
    }
}

#[cold]
fn report(client: Client) {
    ask();
    let cycles = GRAPH.with(|graph| {
        graph.reduce();
        if graph.is_stuck(client) { graph.cycles(true) } else { Vec::new() }
    });
    for cycle in cycles {
        // Not by `eprintln`, which panics where nobody listens.
        let _ = writeln!(std::io::stderr(), "{cycle}");
    }
}

pub(super) fn check() -> Vec<Cycle> {
    ask();
    GRAPH.with(|graph| {
        graph.reduce();
        graph.cycles(false)
    })
}

pub(super) fn forgotten() -> u64 {
    GRAPH.with(|graph| graph.forgotten())
}
