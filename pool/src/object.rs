//! The life of a pooled object, as in `pool_cache(9)`: constructed once, when its place is
//! first handed out; kept constructed from put to get; reset when it is put; destroyed when
//! its page goes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use kva::sync::Arc;

use crate::backend::Backend;
use crate::core::{Core, Destroy};
use crate::error::ConstructError;
use crate::loan::{Loan, Loans};

type Construct<T> = Box<dyn Fn() -> Result<T, ConstructError> + Send + Sync>;
type Reset<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// How objects are constructed and reset.
pub(crate) struct Lifecycle<T> {
    construct: Construct<T>,
    reset: Option<Reset<T>>,
}

impl<T> Lifecycle<T> {
    pub(crate) fn new(construct: impl Fn() -> Result<T, ConstructError> + Send + Sync + 'static) -> Self {
        Self { construct: Box::new(construct), reset: None }
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

impl<B: Backend> Held<'_, B> {
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

impl<T, B: Backend> Shelf<T, B> {
    pub(crate) const fn new(core: Arc<Core<B>>, life: Lifecycle<T>) -> Self {
        Self { core, life }
    }

    /// Makes sure that there is an object in each of these items. If a constructor fails or
    /// panics all of them go back, with the objects that were constructed.
    pub(crate) fn construct(&self, loans: Loans) -> Result<(Loan, Vec<Loan>), ConstructError> {
        let Loans { first, rest } = loans;
        let mut held = Held { core: &self.core, first: Some(first), loans: rest.into_list() };
        for loan in held.each().filter(|loan| !loan.constructed) {
            let counts = CountsFailure(&self.core);
            let object = (self.life.construct)()?;
            std::mem::forget(counts);
            // SAFETY: a loan is the exclusive use of an item, whose layout is `T`'s, and there
            // is no object in this one.
            unsafe { loan.ptr.cast::<T>().write(object) };
            loan.constructed = true;
        }
        Ok(held.into_parts())
    }

    /// Puts an object back, reset. If the reset panics, the object is in no state to be used
    /// again and is destroyed; its panic goes on, unless there is one already.
    pub(crate) fn put(&self, loan: Loan) {
        debug_assert!(loan.constructed);
        if let Some(reset) = &self.life.reset {
            let mut object = loan.ptr.cast::<T>();
            // SAFETY: there is an object in a loan that is constructed, which nobody else has.
            let object = unsafe { object.as_mut() };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| reset(object))) {
                let destroyed = catch_unwind(AssertUnwindSafe(|| self.discard(loan)));
                drop(destroyed);
                if !std::thread::panicking() {
                    resume_unwind(panic);
                }
                return;
            }
        }
        self.core.put_loan(loan);
    }

    /// Destroys an object and puts its place back, also if the destructor panics.
    pub(crate) fn discard(&self, loan: Loan) {
        let empty = Loan { constructed: false, ..loan };
        let _goes_back = Held { core: &*self.core, first: Some(empty), loans: Vec::new() };
        // SAFETY: there is an object in a loan that is constructed, which nobody else has,
        // and after this nobody thinks so.
        unsafe { loan.ptr.cast::<T>().drop_in_place() };
    }

    /// Moves an object out and puts its place back.
    pub(crate) fn take(&self, loan: Loan) -> T {
        // SAFETY: as in `discard`.
        let object = unsafe { loan.ptr.cast::<T>().read() };
        self.core.put_loan(Loan { constructed: false, ..loan });
        object
    }

    /// Replaces what may be in an item by an object of the caller's.
    pub(crate) fn fill(&self, loan: Loan, object: T) -> Loan {
        let ptr = loan.ptr.cast::<T>();
        if loan.constructed {
            let empty = Loan { constructed: false, ..loan };
            let goes_back = Held { core: &*self.core, first: Some(empty), loans: Vec::new() };
            // SAFETY: as in `discard`.
            unsafe { ptr.drop_in_place() };
            let _still_ours = goes_back.into_parts();
        }
        // SAFETY: the item is ours alone, and there is nothing in it.
        unsafe { ptr.write(object) };
        Loan { constructed: true, ..loan }
    }
}
