//! Without the feature: the same names, of types without values.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "as with the feature, where there is something to do"
)]

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::backend::Backend;
use crate::carve::{Carve, CarveError};
use crate::core::Core;
use crate::error::{ConfigError, GetError, TryGetError};
use crate::loan::{Loans, Round};
use crate::pages::PutError;
use kva::panics::FirstPanic;

#[derive(Debug, Clone)]
pub(crate) enum Hardening {}

pub(crate) enum Hardened {}

#[derive(Debug)]
pub(crate) enum Quarantine {}

#[derive(Debug)]
pub(crate) enum Order {}

#[derive(Debug)]
pub(crate) enum Traces {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Margin {}

#[derive(Debug)]
pub(crate) enum Guarded {}

#[derive(Debug)]
pub(crate) enum Unguarded {}

// None of these is ever called: there is nobody to call it on.

impl Hardening {
    pub(crate) const fn keeps_traces(&self) -> bool {
        match *self {}
    }

    pub(crate) fn carve(&self, _: Layout, _: usize, _: Option<u32>) -> Result<Carve, CarveError> {
        match *self {}
    }
}

impl Hardened {
    pub(crate) fn of(hardening: Hardening, _: usize) -> Self {
        match hardening {}
    }
}

impl Quarantine {
    pub(crate) fn of(hardening: Option<&Hardening>) -> Result<Option<Self>, ConfigError> {
        match hardening {
            None => Ok(None),
            Some(hardening) => match *hardening {},
        }
    }

    pub(crate) fn check_reserve(_: u32) -> Result<(), ConfigError> {
        Ok(())
    }

    pub(crate) fn room(&self, _: usize) -> usize {
        match *self {}
    }

    pub(crate) fn len(&self) -> usize {
        match *self {}
    }

    pub(crate) fn pop(&mut self) -> Option<Round> {
        match *self {}
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) index: u32,
    pub(crate) fresh: bool,
}

impl Order {
    pub(crate) fn of(hardening: Option<&Hardening>, _: u32) -> Option<Self> {
        match *hardening? {}
    }

    pub(crate) fn reserve(&mut self, _: usize) -> bool {
        match *self {}
    }

    pub(crate) fn insert(&mut self, _: u32) {
        match *self {}
    }

    pub(crate) fn take(&mut self, _: u32, _: u32) -> Drawn {
        match *self {}
    }

    pub(crate) fn put(&mut self, _: u32, _: u32, _: u32) {
        match *self {}
    }

    pub(crate) fn flips(&mut self) -> bool {
        match *self {}
    }
}

impl Traces {
    pub(crate) fn new(_: usize) -> Option<Self> {
        None
    }
}

impl Margin {
    pub(crate) fn lead(self) -> usize {
        match self {}
    }

    pub(crate) fn close(self, _: NonNull<u8>, _: usize) -> Result<(), Unguarded> {
        match self {}
    }

    pub(crate) fn guarded(self, _: NonNull<u8>, _: usize) -> Guarded {
        match self {}
    }
}

impl Guarded {
    pub(crate) fn open(&self) -> Result<(), Unguarded> {
        match *self {}
    }
}

impl<E> From<Unguarded> for GetError<E> {
    fn from(error: Unguarded) -> Self {
        match error {}
    }
}

impl<E> From<Unguarded> for TryGetError<E> {
    fn from(error: Unguarded) -> Self {
        match error {}
    }
}

impl<B: Backend> Core<B> {
    #[inline]
    pub(crate) fn vet(&self, loans: Loans) -> Loans {
        loans
    }

    pub(crate) fn put_hardened(&self, hardened: &Hardened, _: NonNull<u8>) -> Result<(), PutError> {
        match *hardened {}
    }

    pub(crate) fn tell_shut(&self, guarded: &Guarded, _: Unguarded) {
        match *guarded {}
    }

    pub(crate) fn open_guards(&self, _: &mut FirstPanic) {}

    pub(crate) fn return_unguarded(&self, page: B::Page) {
        drop(page);
    }
}
