//! Who takes spans of an arena, where that matters: quotas, names, and spans that can be moved.

use std::fmt;

use super::{Arena, Inner, Relocate};
use crate::clock::Clock;
use crate::sync::{Arc, Weak};

/// What somebody is lent of an arena; see [`Arena::client`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{AllocError, Arena, Client, Region, Shape};
///
/// let arena = Arena::new(Region::numbers(16), 1)?;
/// let tables = arena.client(Client::new("tables").quota(4))?;
/// let four = tables.try_alloc(Shape::new(4)?)?;
/// assert_eq!(tables.try_alloc(Shape::new(1)?), Err(AllocError::Scarce)); // of its quota
/// let others = arena.try_alloc(Shape::new(12)?)?; // which is no limit to anybody else
/// arena.free(four)?;
/// assert_eq!(tables.used(), 0);
/// # arena.free(others)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    name: String,
    quota: u32,
    relocate: Option<Weak<dyn Relocate>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quota, relocate } = self;
        f.debug_struct("Client")
            .field("name", name)
            .field("quota", quota)
            .field("relocates", &relocate.is_some())
            .finish()
    }
}

impl Client {
    /// Somebody who may take all there is.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), quota: u32::MAX, relocate: None }
    }

    /// May have at most so many quanta at once. Requests beyond that wait until it has freed
    /// some, and hold up nobody else meanwhile. Its own [hooks](Arena::register), which are those of its
    /// pools, are told of them.
    #[must_use]
    pub fn quota(mut self, quanta: u32) -> Self {
        self.quota = quanta;
        self
    }

    /// Can move its spans: where one is in the way of a large request, `owner` is asked to, for as
    /// long as it can be upgraded. Spans whose [placement](crate::Placement) was more than a shape
    /// are not moved.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Client, Region, Relocate, Relocation, Shape, Span, sync::Mutex};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// /// A table of spans that nobody uses just now.
    /// #[derive(Default)]
    /// struct Table(Mutex<Vec<Span>>);
    /// impl Relocate for Table {
    ///     fn relocate(&self, from: Span, to: Span) -> Relocation {
    ///         let mut table = self.0.lock();
    ///         let Some(entry) = table.iter_mut().find(|entry| **entry == from) else {
    ///             return Relocation::Later; // it is not in the table yet
    ///         };
    ///         *entry = to; // and here one would copy what it has
    ///         Relocation::Moved
    ///     }
    /// }
    ///
    /// let arena = Arena::new(Region::numbers(8), 1)?;
    /// let table = Arc::new(Table::default());
    /// let client = arena.client(Client::new("table").relocate(Arc::downgrade(&table) as _))?;
    /// let one = Shape::new(1)?;
    /// *table.0.lock() = (0..8).map(|_| client.try_alloc(one)).collect::<Result<_, _>>()?;
    /// let every_second: Vec<_> = table.0.lock().extract_if(.., |span| span.start() % 2 == 0).collect();
    /// for span in every_second {
    ///     arena.free(span)?;
    /// }
    /// // Four are free, and no two of them side by side.
    /// let four = arena.alloc_timeout(Shape::aligned(4, 4)?, Duration::from_secs(10))?;
    /// assert_eq!(table.0.lock().len(), 4);
    /// # arena.free(four)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn relocate(mut self, owner: Weak<dyn Relocate>) -> Self {
        self.relocate = Some(owner);
        self
    }
}

/// Why an arena has no account for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There are as many clients as there can be.
    #[error("an arena of {} clients already", u16::MAX)]
    TooMany,
}

/// A client's account: open as long as it has handles.
pub(super) struct Account {
    id: u16,
    name: String,
    clock: Arc<Clock>,
    arena: Arc<Inner>,
}

impl Account {
    pub(super) const fn id(&self) -> u16 {
        self.id
    }

    pub(super) const fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let relocate = self.arena.change(|state, _| state.clients.close(self.id));
        drop(relocate); // unlocked
    }
}

impl Arena {
    /// A handle of the same arena whose spans count against a quota of their own. It can be a
    /// pool's back-end like any other. A span may be freed by any handle.
    ///
    /// # Errors
    /// [`ClientError::TooMany`].
    pub fn client(&self, client: Client) -> Result<Self, ClientError> {
        let Client { name, quota, relocate } = client;
        let clock = Arc::new(self.inner.clock.of_client());
        let id = self.inner.change(|state, _| state.clients.open(quota, relocate, clock.clone()));
        let account = Account { id: id.ok_or(ClientError::TooMany)?, name, clock, arena: self.inner.clone() };
        Ok(Self { client: Some(Arc::new(account)), inner: self.inner.clone() })
    }

    /// The name of the [client](Self::client) that this is a handle of.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client.as_ref().map(|account| account.name.as_str())
    }

    /// How many quanta those have whose handle this is: its client, or nobody in particular.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.inner.lock().clients.has(self.client_id())
    }
}
