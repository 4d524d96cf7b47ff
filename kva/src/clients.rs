//! Who has how much of an arena: pure bookkeeping under the arena's lock.
//!
//! # Invariants
//!
//! 1. The quanta that all clients have, those that are free and those that are withheld are all
//!    quanta there are.
//! 2. A client's account is open while it has handles, requests that wait, or quanta: until then
//!    its number means nobody else.

use crate::arena::Relocate;
use crate::clock::{Clock, NEVER};
use crate::sync::{Arc, Weak};

/// The client of who has no account of its own.
pub(crate) const NOBODY: u16 = 0;

#[derive(Debug)]
struct Account {
    quota: u32,
    /// The quanta that it has.
    has: u32,
    /// Its handles, which are one, and its requests that wait.
    users: u32,
    relocate: Option<Weak<dyn Relocate>>,
    clock: Option<Arc<Clock>>,
    /// What its clock was last told.
    published: u64,
}

/// What the clients of an arena have.
#[derive(Debug)]
pub(crate) struct Clients {
    accounts: Vec<Account>,
    vacant: Vec<u16>,
    /// How many can relocate their spans.
    relocating: u32,
}

impl Account {
    const fn new(quota: u32, relocate: Option<Weak<dyn Relocate>>, clock: Option<Arc<Clock>>) -> Self {
        Self { quota, has: 0, users: 1, relocate, clock, published: NEVER }
    }
}

impl Clients {
    pub(crate) fn new() -> Self {
        let nobody = Account::new(u32::MAX, None, None);
        Self { accounts: vec![nobody], vacant: Vec::new(), relocating: 0 }
    }

    /// Opens an account. `None`: there are as many as there can be.
    pub(crate) fn open(
        &mut self,
        quota: u32,
        relocate: Option<Weak<dyn Relocate>>,
        clock: Arc<Clock>,
    ) -> Option<u16> {
        let relocates = u32::from(relocate.is_some());
        let account = Account::new(quota, relocate, Some(clock));
        if let Some(at) = self.vacant.pop() {
            self.relocating += relocates;
            self.accounts[usize::from(at)] = account;
            return Some(at);
        }
        let at = u16::try_from(self.accounts.len()).ok()?;
        self.relocating += relocates;
        self.accounts.push(account);
        // So that closing one, under the lock of a free, needs no memory.
        self.vacant.reserve(self.accounts.len() - self.vacant.len());
        Some(at)
    }

    /// The last handle of a client is gone. Who moved its spans is the caller's to drop, unlocked.
    #[must_use]
    pub(crate) fn close(&mut self, client: u16) -> Option<Weak<dyn Relocate>> {
        let relocate = self.accounts[usize::from(client)].relocate.take();
        self.relocating -= u32::from(relocate.is_some());
        self.ended(client);
        relocate
    }

    /// A request of a client waits.
    pub(crate) fn waits(&mut self, client: u16) {
        self.accounts[usize::from(client)].users += 1;
    }

    /// A request of a client waits no more.
    pub(crate) fn ended(&mut self, client: u16) {
        self.accounts[usize::from(client)].users -= 1;
        self.reap(client);
    }

    fn reap(&mut self, client: u16) {
        let account = &self.accounts[usize::from(client)];
        if account.users == 0 && account.has == 0 {
            self.vacant.push(client);
        }
    }

    /// Tells a client's clock when the oldest of its requests was made that wait for its quota.
    pub(crate) fn publish(&mut self, client: u16, moment: u64) {
        let account = &mut self.accounts[usize::from(client)];
        if account.published != moment {
            account.published = moment;
            account.clock.iter().for_each(|clock| clock.set_held_back(moment));
        }
    }

    /// Whether a client may have `len` quanta more.
    pub(crate) fn may_have(&self, client: u16, len: u32) -> bool {
        let account = &self.accounts[usize::from(client)];
        len <= account.quota.saturating_sub(account.has)
    }

    pub(crate) fn quota(&self, client: u16) -> u32 {
        self.accounts[usize::from(client)].quota
    }

    pub(crate) fn has(&self, client: u16) -> u32 {
        self.accounts[usize::from(client)].has
    }

    /// What all have together, if there are so few that it may be summed up often.
    pub(crate) fn total(&self) -> Option<u64> {
        const FEW: usize = 64;
        let has = |account: &Account| u64::from(account.has);
        (self.accounts.len() <= FEW).then(|| self.accounts.iter().map(has).sum())
    }

    pub(crate) fn took(&mut self, client: u16, len: u32) {
        self.accounts[usize::from(client)].has += len;
    }

    pub(crate) fn gave(&mut self, client: u16, len: u32) {
        self.accounts[usize::from(client)].has -= len;
        self.reap(client);
    }

    /// Who moves the spans of this client out of the way, if they can be.
    pub(crate) fn relocate(&self, client: u16) -> Option<&Weak<dyn Relocate>> {
        self.accounts[usize::from(client)].relocate.as_ref()
    }

    /// Whether any client can relocate its spans.
    pub(crate) const fn any_relocates(&self) -> bool {
        self.relocating > 0
    }
}
