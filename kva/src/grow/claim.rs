//! The name of a pending grow, for whoever has something for it.

use std::fmt;

use super::{GrowId, GrowTable};

/// Names a pending grow, so that what is freed can be freed to it.
///
/// What is freed to a claim passes those who have waited longer. Here `ask` queues a request,
/// whose sink sends who was answered to the channel `ends`:
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use std::sync::{Arc, mpsc};
/// # use kva::{AllocError, GrowId, Refusal, Sink, Span};
/// # struct Ends(mpsc::Sender<GrowId>);
/// # impl Sink<Span, AllocError> for Ends {
/// #     fn finish(&self, id: GrowId, _: Result<Span, Refusal<AllocError>>) {
/// #         let _ = self.0.send(id);
/// #     }
/// # }
/// # let (sender, ends) = mpsc::channel();
/// # let sink = Arc::new(Ends(sender));
/// # use kva::{Answer, Arena, Claim, GrowTable, Heir, Region, Shape};
/// # let arena = Arena::new(Region::numbers(2), 1)?;
/// # let one = Shape::new(1)?;
/// # let (left, right) = (arena.try_alloc(one)?, arena.try_alloc(one)?);
/// # let table = GrowTable::new(2);
/// # let ask = |slot| {
/// #     let grow = table.reserve(slot, arena.clock().now(), sink.clone());
/// #     let id = grow.id();
/// #     assert!(matches!(arena.ask(one, grow), Answer::Later));
/// #     id
/// # };
/// let [first, second] = [0, 1].map(ask); // both wait for a quantum
/// assert_eq!(arena.free_to(Claim::new(&table, second), left)?, Heir::Claimant);
/// assert_eq!(ends.try_recv()?, second); // past the first
/// arena.free(right)?;
/// assert_eq!(ends.try_recv()?, first);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    table: &'a GrowTable,
    id: GrowId,
}

impl<'a> Claim<'a> {
    /// The claim of the grow `id` of `table`.
    #[must_use]
    pub const fn new(table: &'a GrowTable, id: GrowId) -> Self {
        Self { table, id }
    }

    /// Which grow.
    #[must_use]
    pub const fn id(&self) -> GrowId {
        self.id
    }

    /// Whether the request is here or will come, unless it is withdrawn first. Under the
    /// back-end's lock.
    pub(crate) fn is_open(&self) -> bool {
        self.table.is_open(self.id)
    }

    /// The request has its answer. Under the back-end's lock.
    pub(crate) fn spend(&self) {
        self.table.spend(self.id);
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim of {:?}", self.id)
    }
}
