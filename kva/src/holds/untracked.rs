//! Nothing, by the names of `tracked.rs`.

#![allow(clippy::unused_self, clippy::missing_const_for_fn, reason = "as the others, which do something")]

use super::Resource;
use super::deadlock::Cycle;
use crate::sync::Weak;

/// Nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client;

impl Client {
    /// Nobody that is known.
    pub const NOBODY: Self = Self;

    /// Yes.
    #[must_use]
    pub const fn is_nobody(self) -> bool {
        true
    }
}

/// Nobody.
#[inline]
pub const fn current() -> Client {
    Client
}

/// Calls `f`.
#[inline]
pub fn as_nobody<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Nothing.
#[derive(Debug)]
pub(super) struct Entered;

pub(super) const fn enter(_: Option<&str>) -> Entered {
    Entered
}

pub(super) const fn each_thread() {}

/// Nothing.
#[derive(Debug)]
pub struct Holders;

impl Holders {
    /// Nothing.
    #[must_use]
    #[inline]
    pub const fn new(_: usize) -> Option<Self> {
        Some(Self)
    }

    /// No.
    #[must_use]
    #[inline]
    pub const fn is_known(&self, _: usize) -> bool {
        false
    }

    /// Does nothing.
    #[inline]
    pub const fn split(&self, _: usize, _: usize) {}
}

/// Nothing.
#[derive(Debug, Default)]
pub struct Holds;

impl Holds {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Does nothing.
    #[inline]
    pub fn register(
        &self,
        _: &str,
        _: Option<&str>,
        _: Option<&Self>,
        _: impl FnOnce() -> Weak<dyn Resource>,
    ) {
    }

    /// Does nothing.
    #[inline]
    pub const fn got(&self, _: &Holders, _: usize, _: u32) {}

    /// Does nothing.
    #[inline]
    pub const fn puts(&self, _: &Holders, _: usize, _: u32) {}
}

/// Nothing.
#[derive(Debug, Default)]
pub struct Asleep;

impl Asleep {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Does nothing.
    #[inline]
    pub const fn begin(&mut self, _: &Holds) {}

    /// Does nothing.
    #[inline]
    pub const fn end(&mut self) {}
}

pub(super) const fn check() -> Vec<Cycle> {
    Vec::new()
}

pub(super) const fn forgotten() -> u64 {
    0
}

const _: () = assert!(size_of::<(Client, Holders, Holds, Asleep, Entered)>() == 0);
