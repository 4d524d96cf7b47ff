//! Several attempts of one output, in place: the branches of a choice.

use std::marker::PhantomPinned;
use std::pin::Pin;
use std::time::Instant;

use pin_project_lite::pin_project;

use super::attempt::{Attempt, sooner};
use crate::driver::Driver;

/// Several attempts of one output, by number. One that was withdrawn is asked no more.
pub trait Branches {
    /// What each of them commits with.
    type Output;

    /// How many.
    fn len(&self) -> usize;
    /// As [`Attempt::try_now`].
    fn try_now(self: Pin<&mut Self>, at: usize) -> bool;
    /// As [`Attempt::granted`].
    fn granted(self: Pin<&mut Self>, at: usize, driver: &mut Driver<'_, '_>) -> bool;
    /// As [`Attempt::poll`]; whether it committed.
    fn poll(self: Pin<&mut Self>, at: usize, driver: &mut Driver<'_, '_>) -> bool;
    /// As [`Attempt::take`].
    fn take(self: Pin<&mut Self>, at: usize) -> Self::Output;
    /// When the first of them has to be driven.
    fn until(&self) -> Option<Instant>;
    /// Drops the attempt, if it is there.
    fn withdraw(self: Pin<&mut Self>, at: usize);
}

/// What is asked of a branch was not withdrawn.
const IS_THERE: &str = "a branch that was not withdrawn";

fn slot<A: Attempt>(branch: Pin<&mut Option<A>>) -> Pin<&mut A> {
    branch.as_pin_mut().expect(IS_THERE)
}

fn soonest<'a, A: Attempt + 'a>(branches: impl IntoIterator<Item = &'a Option<A>>) -> Option<Instant> {
    branches.into_iter().flatten().filter_map(Attempt::until).min()
}

macro_rules! by_number {
    ($self:ident, $at:ident => $branch:expr) => {
        fn try_now($self: Pin<&mut Self>, $at: usize) -> bool {
            slot($branch).try_now()
        }
        fn granted($self: Pin<&mut Self>, $at: usize, driver: &mut Driver<'_, '_>) -> bool {
            slot($branch).granted(driver)
        }
        fn poll($self: Pin<&mut Self>, $at: usize, driver: &mut Driver<'_, '_>) -> bool {
            slot($branch).poll(driver).is_ready()
        }
        fn take($self: Pin<&mut Self>, $at: usize) -> A::Output {
            slot($branch).take()
        }
        fn withdraw($self: Pin<&mut Self>, $at: usize) {
            $branch.set(None);
        }
    };
}

/// Those of an array.
#[derive(Debug)]
pub struct Array<A, const N: usize> {
    attempts: [Option<A>; N],
    _pinned: PhantomPinned,
}

impl<A, const N: usize> Array<A, N> {
    pub(super) const fn new(attempts: [Option<A>; N]) -> Self {
        Self { attempts, _pinned: PhantomPinned }
    }

    fn at(self: Pin<&mut Self>, at: usize) -> Pin<&mut Option<A>> {
        // SAFETY: the attempts are pinned as the array is: none is ever moved out of it, and it is
        // `Unpin` in no case.
        unsafe { self.map_unchecked_mut(|this| &mut this.attempts[at]) }
    }
}

impl<A: Attempt, const N: usize> Branches for Array<A, N> {
    type Output = A::Output;

    fn len(&self) -> usize {
        N
    }
    fn until(&self) -> Option<Instant> {
        soonest(&self.attempts)
    }
    by_number!(self, at => self.at(at));
}

/// Those of a list, each in a place of its own that stays.
#[derive(Debug)]
pub struct List<A>(Vec<Pin<Box<Option<A>>>>);

impl<A> List<A> {
    pub(super) const fn new(attempts: Vec<Pin<Box<Option<A>>>>) -> Self {
        Self(attempts)
    }
}

impl<A: Attempt> Branches for List<A> {
    type Output = A::Output;

    fn len(&self) -> usize {
        self.0.len()
    }
    fn until(&self) -> Option<Instant> {
        soonest(self.0.iter().map(|attempt| &**attempt))
    }
    by_number!(self, at => self.get_mut().0[at].as_mut());
}

pin_project! {
    /// One.
    #[derive(Debug)]
    pub struct One<A> {
        #[pin]
        pub(super) attempt: Option<A>,
    }
}

impl<A: Attempt> Branches for One<A> {
    type Output = A::Output;

    fn len(&self) -> usize {
        1
    }
    fn until(&self) -> Option<Instant> {
        soonest([&self.attempt])
    }
    by_number!(self, _at => self.project().attempt);
}

pin_project! {
    /// One, and then others: a tuple, as pairs.
    #[derive(Debug)]
    pub struct Pair<A, B> {
        #[pin]
        pub(super) one: One<A>,
        #[pin]
        pub(super) others: B,
    }
}

macro_rules! of_pair {
    ($self:ident, $at:ident, $method:ident $(, $driver:ident)?) => {{
        let this = $self.project();
        match $at.checked_sub(1) {
            None => this.one.$method($at $(, $driver)?),
            Some(at) => this.others.$method(at $(, $driver)?),
        }
    }};
}

impl<A: Attempt, B: Branches<Output = A::Output>> Branches for Pair<A, B> {
    type Output = A::Output;

    fn len(&self) -> usize {
        1 + self.others.len()
    }
    fn until(&self) -> Option<Instant> {
        sooner(self.one.until(), self.others.until())
    }
    fn try_now(self: Pin<&mut Self>, at: usize) -> bool {
        of_pair!(self, at, try_now)
    }
    fn granted(self: Pin<&mut Self>, at: usize, driver: &mut Driver<'_, '_>) -> bool {
        of_pair!(self, at, granted, driver)
    }
    fn poll(self: Pin<&mut Self>, at: usize, driver: &mut Driver<'_, '_>) -> bool {
        of_pair!(self, at, poll, driver)
    }
    fn take(self: Pin<&mut Self>, at: usize) -> A::Output {
        of_pair!(self, at, take)
    }
    fn withdraw(self: Pin<&mut Self>, at: usize) {
        of_pair!(self, at, withdraw);
    }
}
