//! The life of a pooled object, as in `pool_cache(9)`: constructed once, when its place is
//! first handed out, or made by a factory, with its page; kept from put to get; reset when it is
//! put; validated before it is got again; destroyed when its page goes.

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use kva::holds::as_nobody;
use kva::sync::{Arc, block_on_future};

use crate::backend::Backend;
use crate::core::{Core, Destroy};
use crate::error::ConstructError;
use crate::lending::Care;
use crate::loan::{Loan, Loans, Round};
use kva::panics::FirstPanic;

type Construct<T> = Box<dyn Fn() -> Result<T, ConstructError> + Send + Sync>;
type Reset<T> = Box<dyn Fn(&mut T) + Send + Sync>;
type IsGood<T> = Box<dyn Fn(&mut T) -> bool + Send + Sync>;
type WillBeGood<T> =
    Box<dyn for<'a> Fn(&'a mut T) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> + Send + Sync>;

/// How objects are constructed, reset and validated.
pub(crate) struct Lifecycle<T> {
    /// `None`: they come with their pages.
    construct: Option<Construct<T>>,
    reset: Option<Reset<T>>,
    validate: Validate<T>,
}

/// How it is known whether an object that was idle is good still.
enum Validate<T> {
    Never,
    Now(IsGood<T>),
    Async(WillBeGood<T>),
}

/// An object that is being validated, in nobody's hands if that panics or is cancelled: then it
/// is in no state to be used again.
struct Suspect<'a, T>(&'a mut T);

impl<T> Drop for Suspect<'_, T> {
    /// If the validation panicked, its panic goes on, whatever the destructor does.
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        // SAFETY: whoever made this holds the item, and thinks that there is no object in it.
        panics.guard(|| unsafe { std::ptr::drop_in_place(self.0) });
        panics.go_on();
    }
}

impl<T> Lifecycle<T> {
    pub(crate) fn new(construct: impl Fn() -> Result<T, ConstructError> + Send + Sync + 'static) -> Self {
        Self { construct: Some(Box::new(construct)), ..Self::brought() }
    }

    /// Of objects that come with their pages.
    pub(crate) const fn brought() -> Self {
        Self { construct: None, reset: None, validate: Validate::Never }
    }

    pub(crate) fn set_validate(&mut self, is_good: impl Fn(&mut T) -> bool + Send + Sync + 'static) {
        self.validate = Validate::Now(Box::new(is_good));
    }

    pub(crate) fn set_validate_async(
        &mut self,
        is_good: impl for<'a> Fn(&'a mut T) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>
        + Send
        + Sync
        + 'static,
    ) {
        self.validate = Validate::Async(Box::new(is_good));
    }

    pub(crate) fn set_reset(&mut self, reset: impl Fn(&mut T) + Send + Sync + 'static) {
        self.reset = Some(Box::new(reset));
    }

    /// Destroys the `T` in an item.
    pub(crate) const DESTROY: Destroy = {
        unsafe fn destroy<T>(object: NonNull<u8>) {
            // SAFETY: the caller's promise (`Destroy`).
            unsafe { object.cast::<T>().drop_in_place() };
        }
        destroy::<T>
    };
}

/// A pool of objects, as its handles and guards share it. It does not keep the pool open.
pub(crate) struct Shelf<T, B: Backend> {
    pub(crate) core: Arc<Core<B>>,
    life: Lifecycle<T>,
}

/// Loans that go back, constructed or not, unless they are taken out.
pub(crate) struct Held<'a, B: Backend> {
    core: &'a Core<B>,
    loans: Vec<Loan>,
    first: Option<Loan>,
}

impl<'a, B: Backend> Held<'a, B> {
    pub(crate) fn new(core: &'a Core<B>, loans: Loans) -> Self {
        Self { core, first: Some(loans.first), loans: loans.rest.into_list() }
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Loan> {
        self.first.iter_mut().chain(&mut self.loans)
    }

    /// All but the first, with room for that one.
    pub(crate) fn into_parts(mut self) -> (Loan, Vec<Loan>) {
        let first = self.first.take().expect("taken once");
        (first, std::mem::take(&mut self.loans))
    }
}

impl<B: Backend> Drop for Held<'_, B> {
    fn drop(&mut self) {
        self.core.put_loans(&mut self.first.take().into_iter().chain(self.loans.drain(..)));
    }
}

/// Counts a constructor that failed or panicked, unless it is forgotten.
struct CountsFailure<'a, B: Backend>(&'a Core<B>);

impl<B: Backend> Drop for CountsFailure<'_, B> {
    fn drop(&mut self) {
        self.0.lock().counts.failures.construct += 1;
    }
}

/// Counts an object that was not good, or was not found to be, unless it is forgotten.
struct CountsInvalid<'a, B: Backend>(&'a Core<B>);

impl<B: Backend> Drop for CountsInvalid<'_, B> {
    fn drop(&mut self) {
        self.0.lock().counts.invalid += 1;
    }
}

impl<T, B: Backend> Shelf<T, B> {
    pub(crate) const fn new(core: Arc<Core<B>>, life: Lifecycle<T>) -> Self {
        Self { core, life }
    }

    /// Whether objects are reset.
    pub(crate) const fn resets(&self) -> bool {
        self.life.reset.is_some()
    }

    /// Whether objects are validated.
    pub(crate) const fn validates(&self) -> bool {
        !matches!(self.life.validate, Validate::Never)
    }

    /// What is done to make sure that an object is good.
    pub(crate) const fn care(&self) -> Care {
        match self.life.validate {
            Validate::Never => Care::Construct,
            Validate::Now(_) => Care::Validate,
            Validate::Async(_) => Care::Await,
        }
    }

    /// Makes sure that there is a good object in each of these items. `None`: some that came with
    /// its page was not good. If that is so, or a constructor fails, or anything panics, all of
    /// them go back, with the objects that are good. So they do if the future is dropped, and what is
    /// good until it is taken out.
    pub(crate) fn ready(
        &self,
        loans: Loans,
    ) -> impl Future<Output = Result<Option<Held<'_, B>>, ConstructError>> {
        // Before the future is polled, which it may never be.
        let mut held = Held::new(&self.core, loans);
        async move {
            let mut all_good = true;
            for loan in held.each() {
                if loan.constructed && !loan.fresh && self.validates() {
                    self.validate(loan).await;
                }
                if !loan.constructed {
                    match &self.life.construct {
                        Some(construct) => self.construct(construct, loan)?,
                        None => all_good = false,
                    }
                }
            }
            Ok(all_good.then_some(held))
        }
    }

    /// As [`ready`](Self::ready), on this thread. Returns at once where there is nothing to do,
    /// and waits only for an async validation.
    pub(crate) fn ready_now(&self, loans: Loans) -> Result<Option<(Loan, Vec<Loan>)>, ConstructError> {
        if loans.rest.room() == 0 && loans.first.constructed && !self.validates() {
            return Ok(Some((loans.first, Vec::new())));
        }
        let mut ready = pin!(self.ready(loans));
        let held = match ready.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(held) => held?,
            Poll::Pending => block_on_future(ready)?,
        };
        Ok(held.map(Held::into_parts))
    }

    /// Destroys the object in an item unless it is good still.
    async fn validate(&self, loan: &mut Loan) {
        // Until it is known to be good.
        loan.constructed = false;
        // SAFETY: a loan is the exclusive use of an item, and there was an object in this one.
        let suspect = Suspect(unsafe { loan.ptr.cast::<T>().as_mut() });
        let counts = CountsInvalid(&self.core);
        let good = match &self.life.validate {
            Validate::Never => true,
            Validate::Now(is_good) => as_nobody(|| is_good(&mut *suspect.0)),
            Validate::Async(will_be_good) => will_be_good(&mut *suspect.0).await,
        };
        if good {
            std::mem::forget((counts, suspect));
            loan.constructed = true;
        }
    }

    fn construct(&self, construct: &Construct<T>, loan: &mut Loan) -> Result<(), ConstructError> {
        let counts = CountsFailure(&self.core);
        let object = as_nobody(construct)?;
        std::mem::forget(counts);
        // SAFETY: a loan is the exclusive use of an item, whose layout is `T`'s, and there
        // is no object in this one.
        unsafe { loan.ptr.cast::<T>().write(object) };
        loan.constructed = true;
        Ok(())
    }

    /// Puts an object back, reset. If the reset panics, the object is in no state to be used
    /// again and is destroyed; its panic goes on, unless there is one already.
    #[inline(always)]
    pub(crate) fn put(&self, round: Round) {
        match &self.life.reset {
            Some(reset) => self.put_reset(reset, round),
            None => self.core.put_object(round),
        }
    }

    /// As [`put`](Self::put), out of the way of those who put what they have at hand.
    #[inline(never)]
    pub(crate) fn put_slowly(&self, round: Round) {
        self.put(round);
    }

    #[cold]
    fn put_reset(&self, reset: &Reset<T>, round: Round) {
        let mut object = round.ptr.cast::<T>();
        // SAFETY: there is an object in the item, which nobody else has.
        let object = unsafe { object.as_mut() };
        let mut panics = FirstPanic::default();
        if panics.guard(|| as_nobody(|| reset(object))) {
            self.core.put_object(round);
        } else {
            panics.guard(|| self.discard(round));
            panics.go_on();
        }
    }

    /// Destroys an object and puts its place back, also if the destructor panics.
    pub(crate) fn discard(&self, round: Round) {
        let empty = self.core.loan(round).emptied();
        let _goes_back = Held { core: &*self.core, first: Some(empty), loans: Vec::new() };
        // SAFETY: there is an object in the item, which nobody else has, and after this nobody
        // thinks so.
        unsafe { round.ptr.cast::<T>().drop_in_place() };
    }

    /// Moves an object out and puts its place back.
    pub(crate) fn take(&self, round: Round) -> T {
        // SAFETY: as in `discard`.
        let object = unsafe { round.ptr.cast::<T>().read() };
        self.core.put_loan(self.core.loan(round).emptied());
        object
    }

    /// Replaces what may be in an item by an object of the caller's.
    pub(crate) fn fill(&self, loan: Loan, object: T) -> Loan {
        let ptr = loan.ptr.cast::<T>();
        if loan.constructed {
            let empty = loan.emptied();
            let goes_back = Held { core: &*self.core, first: Some(empty), loans: Vec::new() };
            // SAFETY: as in `discard`.
            unsafe { ptr.drop_in_place() };
            let _still_ours = goes_back.into_parts();
        }
        // SAFETY: the item is ours alone, and there is nothing in it.
        unsafe { ptr.write(object) };
        loan.filled()
    }
}
