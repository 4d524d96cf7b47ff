//! What a choice is of: arrays, lists and tuples of events.

use super::attempt::Attempt;
use super::branches::{Array, Branches, List, One, Pair};
use super::event::{Event, Wait};

mod sealed {
    pub trait Sealed {}
}

/// Events of one output that [`choose`](super::choose) takes: an array of one kind, a `Vec` of one kind
/// (which may be [boxed](Event::boxed)), or a tuple of one to eight of different kinds.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{always, choose, never};
///
/// assert_eq!(choose([always(1)]).sync(), 1);
/// assert_eq!(choose(vec![always(2)]).sync(), 2);
/// assert_eq!(choose((never(), always(3))).sync(), 3);
/// ```
pub trait Events: sealed::Sealed {
    /// What each of them comes to.
    type Output;

    #[doc(hidden)]
    type Branches: Branches<Output = Self::Output>;

    #[doc(hidden)]
    fn begin(self) -> Self::Branches;
}

impl<W, const N: usize> sealed::Sealed for [Event<W>; N] {}

impl<W: Wait, const N: usize> Events for [Event<W>; N] {
    type Output = W::Output;
    type Branches = Array<W::Attempt, N>;

    fn begin(self) -> Self::Branches {
        Array::new(self.map(|event| Some(event.0.begin())))
    }
}

impl<W> sealed::Sealed for Vec<Event<W>> {}

impl<W: Wait> Events for Vec<Event<W>> {
    type Output = W::Output;
    type Branches = List<W::Attempt>;

    fn begin(self) -> Self::Branches {
        List::new(self.into_iter().map(|event| Box::pin(Some(event.0.begin()))).collect())
    }
}

fn one<A: Attempt>(attempt: A) -> One<A> {
    One { attempt: Some(attempt) }
}

macro_rules! branches {
    ($first:ident) => { One<$first::Attempt> };
    ($first:ident $($rest:ident)+) => { Pair<$first::Attempt, branches!($($rest)+)> };
}

macro_rules! begin {
    ($first:ident) => { one($first.0.begin()) };
    ($first:ident $($rest:ident)+) => { Pair { one: one($first.0.begin()), others: begin!($($rest)+) } };
}

macro_rules! of_tuple {
    ($first:ident $($rest:ident)*) => {
        impl<$first, $($rest),*> sealed::Sealed for (Event<$first>, $(Event<$rest>,)*) {}

        #[allow(non_snake_case, reason = "each is named as its type")]
        impl<$first: Wait, $($rest: Wait<Output = $first::Output>),*> Events
            for (Event<$first>, $(Event<$rest>,)*)
        {
            type Output = $first::Output;
            type Branches = branches!($first $($rest)*);

            fn begin(self) -> Self::Branches {
                let ($first, $($rest,)*) = self;
                begin!($first $($rest)*)
            }
        }
        of_tuple!($($rest)*);
    };
    () => {};
}

of_tuple!(A B C D E F G H);
