//! Gets and puts of a hardened pool: claims, poison, traces and what is said.

use std::ptr::NonNull;

use kva::panics::FirstPanic;

use super::guard::Guarded;
use super::knobs::Handler;
use super::poison::{fill, spoilt};
use super::traces::{Last, Trace};
use super::violation::{Violation, ViolationKind};
use super::{GuardError, Hardening};
use crate::backend::Backend;
use crate::core::{Core, Kept};
use crate::index::At;
use crate::loan::{Loan, Loans, Round, Slot};
use crate::pages::PutError;

/// What gets and puts of a hardened pool do besides.
pub(crate) struct Hardened {
    /// How much of each item is filled.
    poison: usize,
    traces: bool,
    on_violation: Option<Handler>,
}

impl Hardened {
    /// Of items of so many bytes.
    pub(crate) fn of(hardening: Hardening, bytes: usize) -> Self {
        let Hardening { poison, traces, on_violation, .. } = hardening;
        Self { poison: poison.min(bytes), traces, on_violation }
    }

    /// Where its caller's caller is, if that is kept.
    fn here(&self) -> Option<Trace> {
        if self.traces { Some(Trace::here()) } else { None }
    }

    fn tell(&self, violation: &Violation<'_>) {
        match &self.on_violation {
            Some(tell) => tell(violation),
            None => panic!("{violation}"),
        }
    }
}

impl<B: Backend> Core<B> {
    /// Sees that nobody used these items since they were put, before their getter does. All of them: those
    /// that go back are filled again, and what was wrong with them would not be seen any more.
    ///
    /// # Panics
    /// If somebody did, or whoever is told of it does. They go back then.
    pub(crate) fn vet(&self, loans: Loans) -> Loans {
        let Some(hardened) = &self.hardened else { return loans };
        let kept = Kept::new(self, loans);
        let mut panics = FirstPanic::default();
        for loan in kept.each() {
            self.vet_one(hardened, loan, &mut panics);
        }
        panics.go_on();
        if let Some(here) = hardened.here() {
            for loan in kept.each() {
                self.note_trace(loan.slot, Last::Got, &here);
            }
        }
        kept.into_loans()
    }

    fn vet_one(&self, hardened: &Hardened, loan: &Loan, panics: &mut FirstPanic) {
        if hardened.poison == 0 || loan.fresh {
            return;
        }
        // SAFETY: the item is the getter's alone, as long, and was filled as it was put: it is not fresh.
        let spoilt = unsafe { spoilt(loan.ptr, hardened.poison) };
        if let Some(spoilt) = spoilt {
            let (kind, item) = (ViolationKind::of(spoilt), Some((loan.ptr, loan.slot)));
            // Before the guard, which would be in it.
            let here = hardened.here();
            panics.guard(|| self.violated(hardened, kind, item, here));
        }
    }

    fn note_trace(&self, slot: Slot, last: Last, trace: &Trace) {
        if let Some((traces, at)) = self.index.traces(slot) {
            traces.note(at, last, trace);
        }
    }

    fn violated(
        &self,
        hardened: &Hardened,
        kind: ViolationKind,
        item: Option<(NonNull<u8>, Slot)>,
        here: Option<Trace>,
    ) {
        let trace = |last| {
            let (traces, at) = self.index.traces(item?.1)?;
            traces.get(at, last)
        };
        hardened.tell(&Violation {
            pool: self.name.as_deref(),
            kind,
            item: item.map(|(item, _)| item.addr().get()),
            here,
            got: trace(Last::Got),
            put: trace(Last::Put),
        });
    }

    /// A page cannot be given up, since its guard will not open.
    pub(crate) fn tell_shut(&self, guarded: &Guarded, refused: GuardError) {
        let Some(hardened) = &self.hardened else { return };
        let item = self.item_at(guarded.item);
        self.violated(hardened, ViolationKind::GuardShut(refused), item, None);
    }

    /// Puts what may be an item. Two holds of the lock: between them the item is claimed, and ours.
    pub(crate) fn put_hardened(&self, hardened: &Hardened, ptr: NonNull<u8>) -> Result<(), PutError> {
        let here = hardened.here();
        let claimed = self.lock().pages.claim(ptr);
        let slot = match claimed {
            Ok(slot) => slot,
            Err(error) => {
                let item = self.item_of(ptr, error);
                self.violated(hardened, ViolationKind::BadPut(error), item, here);
                return Err(error);
            }
        };
        self.note_puts(slot);
        // SAFETY: the item was out and is claimed: whoever had it gave it up (`RawPool::put`), and it is
        // lent to nobody before the pages have it. It is as long.
        unsafe { fill(ptr, hardened.poison) };
        if let Some(here) = here {
            self.note_trace(slot, Last::Put, &here);
        }
        self.change(|state, todo| {
            let rests = state.is_at_rest();
            state.put_claimed(Round { ptr }, todo);
            if rests {
                self.note_calm(state);
            }
        });
        Ok(())
    }

    /// The item that a bad put is of, or points into.
    fn item_of(&self, ptr: NonNull<u8>, error: PutError) -> Option<(NonNull<u8>, Slot)> {
        let into = match error {
            PutError::Foreign(_) => return None,
            PutError::NotAnItem { offset, .. } => offset,
            PutError::DoublePut(_) => 0,
        };
        self.item_at(NonNull::new(ptr.as_ptr().wrapping_sub(into))?)
    }

    fn item_at(&self, item: NonNull<u8>) -> Option<(NonNull<u8>, Slot)> {
        match self.index.at(item) {
            At::Item(slot) => Some((item, slot)),
            _ => None,
        }
    }
}
