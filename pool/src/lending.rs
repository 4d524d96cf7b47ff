//! From a wish to good objects as a state machine, for those who do not block their thread, or
//! wait for other things at the same time: what `Shelf::lend` does in a loop.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use kva::NEVER;
use kva::holds::as_nobody;
use kva::sync::Arc;
use pin_project_lite::pin_project;

use crate::backend::Backend;
use crate::core::{Core, Kept};
use crate::driver::Driver;
use crate::error::{ConstructError, GetError};
use crate::getter::{Getter, Patience};
use crate::loan::{Loans, Rest};
use crate::object::Held;
use crate::waiter::Want;

/// What was wished for, or why it was not had. Dropped, it goes back.
pub(crate) type Lent<'a, B> = Result<Held<'a, B>, GetError<<B as Backend>::Error>>;

/// Whether what was lent is good: `None` is that it is not, and went back.
pub(crate) type Readied<'a, B> = Result<Option<Held<'a, B>>, ConstructError>;

/// What is done to make sure that what was lent is good: callers' code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing: it is memory.
    Nothing,
    /// Objects are constructed.
    Construct,
    /// And those that were idle validated.
    Validate,
    /// And that may take its time.
    Await,
}

impl Care {
    /// Whether there is nothing left to do to these.
    fn is_done(self, loans: &Loans) -> bool {
        let mut all = std::iter::once(&loans.first).chain(loans.rest.iter());
        match self {
            Self::Nothing => true,
            Self::Construct => all.all(|loan| loan.constructed),
            Self::Validate | Self::Await => all.all(|loan| loan.constructed && loan.fresh),
        }
    }
}

pin_project! {
    /// A getter until what it got is good. Dropping it cancels: whatever it has goes back.
    pub(crate) struct Lending<'a, B: Backend, M, R> {
        core: &'a Arc<Core<B>>,
        want: Want,
        // Room for all but the first.
        rest: Rest,
        patience: Patience,
        care: Care,
        // Makes sure that what was lent is good.
        make: M,
        // Whether it looked for what is there without getting in line.
        tried: bool,
        #[pin]
        stage: Stage<'a, B, R>,
    }
}

pin_project! {
    #[project = Projected]
    enum Stage<'a, B: Backend, R> {
        // In no line.
        Apart,
        Getting { #[pin] getter: Getter<'a, B> },
        Readying { #[pin] ready: R },
    }
}

impl<'a, B, M, R> Lending<'a, B, M, R>
where
    B: Backend,
    M: FnMut(Loans) -> R,
    R: Future<Output = Readied<'a, B>>,
{
    /// One who has not looked. `rest` has room for all but the first.
    pub(crate) const fn new(
        core: &'a Arc<Core<B>>,
        want: Want,
        rest: Rest,
        patience: Patience,
        care: Care,
        make: M,
    ) -> Self {
        Self { core, want, rest, patience, care, make, tried: false, stage: Stage::Apart }
    }

    /// When it has to be driven though nobody woke it.
    pub(crate) fn until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Getting { getter } => getter.until(),
            Stage::Apart | Stage::Readying { .. } => None,
        }
    }

    /// Takes what is there, unless it is somebody's who waits. In no line after that.
    ///
    /// Not what would have to be validated by a future: if it is not ready at once, its object is
    /// destroyed where something else is chosen, which may be there for the asking.
    pub(crate) fn try_now(mut self: Pin<&mut Self>) -> Option<Lent<'a, B>> {
        if self.care == Care::Await {
            return None;
        }
        self.as_mut().take_now();
        self.ready_at_once()
    }

    /// Sees whether it was served, if it is in line. It commits to that only if nothing has to be done to it.
    pub(crate) fn granted(mut self: Pin<&mut Self>) -> Option<Lent<'a, B>> {
        let mut this = self.as_mut().project();
        let Projected::Getting { getter } = this.stage.as_mut().project() else { return None };
        let loans = match getter.granted() {
            Poll::Pending => return None,
            Poll::Ready(Ok(loans)) => loans,
            Poll::Ready(Err(error)) => return Some(Err(error)),
        };
        let is_good = this.care.is_done(&loans);
        let ready = (this.make)(loans);
        this.stage.set(Stage::Readying { ready });
        if is_good { self.ready_at_once() } else { None }
    }

    /// What it has, if that is good.
    fn ready_at_once(self: Pin<&mut Self>) -> Option<Lent<'a, B>> {
        // Whoever goes on polls it again, with a waker.
        match self.poll_ready(&mut Driver::Task(&mut Context::from_waker(Waker::noop()))) {
            Poll::Ready(lent) => lent,
            Poll::Pending => None,
        }
    }

    fn take_now(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.tried = true;
        if let Some(loans) = as_nobody(|| take_now(this.core, *this.want, this.rest)) {
            let ready = (this.make)(loans);
            this.stage.set(Stage::Readying { ready });
        }
    }

    /// Sees whether it has what is good. `None`: it has nothing, and is in no line.
    fn poll_ready(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<Option<Lent<'a, B>>> {
        let mut this = self.project();
        let Projected::Readying { ready } = this.stage.as_mut().project() else { return Poll::Ready(None) };
        Poll::Ready(match ready!(driver.poll(ready)) {
            Ok(Some(held)) => Some(Ok(held)),
            Ok(None) => {
                // As old as it was.
                this.stage.set(Stage::Apart);
                (this.patience.returns, *this.tried) = (true, false);
                let items = this.want.items;
                match Rest::of(items) {
                    Some(rest) => {
                        *this.rest = rest;
                        None
                    }
                    None => Some(Err(GetError::NoMemory(items as usize))),
                }
            }
            Err(error) => Some(Err(GetError::Construct(error))),
        })
    }

    /// Goes on, as far as it gets without waiting.
    pub(crate) fn poll_driven(mut self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<Lent<'a, B>> {
        loop {
            let mut this = self.as_mut().project();
            match this.stage.as_mut().project() {
                Projected::Apart if *this.tried => {
                    let rest = std::mem::take(this.rest);
                    let getter = Getter::new(this.core, *this.want, rest, *this.patience);
                    this.stage.set(Stage::Getting { getter });
                }
                Projected::Apart => self.as_mut().take_now(),
                Projected::Getting { getter } => {
                    let loans = ready!(getter.poll_driven(driver))?;
                    let ready = (this.make)(loans);
                    this.stage.set(Stage::Readying { ready });
                }
                Projected::Readying { .. } => {
                    if let Some(lent) = ready!(self.as_mut().poll_ready(driver)) {
                        return Poll::Ready(lent);
                    }
                }
            }
        }
    }
}

/// What is there. `rest` goes with it.
fn take_now<B: Backend>(core: &Core<B>, want: Want, rest: &mut Rest) -> Option<Loans> {
    if let Some(loan) = core.take_now(want) {
        return Some(Loans::one(loan));
    }
    if want.items == 1 {
        return None;
    }
    // As `Core::try_get`, but it neither asks for pages nor sweeps.
    let mut room = Some(std::mem::take(rest));
    let kept = core.change(|state, _| {
        let loans = if state.closed { None } else { state.take(NEVER, want, &mut room) };
        loans.map(|loans| Kept::new(core, loans))
    });
    *rest = room.unwrap_or_default();
    kept.map(Kept::into_loans)
}

/// As a task drives it.
impl<'a, B, M, R> Future for Lending<'a, B, M, R>
where
    B: Backend,
    M: FnMut(Loans) -> R,
    R: Future<Output = Readied<'a, B>>,
{
    type Output = Lent<'a, B>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_driven(&mut Driver::Task(context))
    }
}
