//! Who asks an arena by tokens that nobody sleeps for: a world looks at what it was granted.

use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, Claim, GrowId, GrowTable, Placement, Refusal, Sink, Span};

#[derive(Debug, Default)]
struct Granted(Mutex<Vec<Span>>);

impl Sink<Span, AllocError> for Granted {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        self.0.lock().extend(end);
    }
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Asker {
    table: Arc<GrowTable>,
    granted: Arc<Granted>,
}

impl Asker {
    /// With room for so many requests.
    #[must_use]
    pub fn new(requests: u32) -> Self {
        Self { table: GrowTable::new(requests), granted: Arc::default() }
    }

    /// Whose requests these are.
    #[must_use]
    pub fn table(&self) -> &GrowTable {
        &self.table
    }

    /// Asks; what is granted at once is among what was granted.
    pub fn ask(&self, arena: &Arena, slot: u32, placement: impl Into<Placement>) -> GrowId {
        let grow = self.table.reserve(slot, arena.clock().now(), self.granted.clone());
        let id = grow.id();
        if let Answer::Now(committed, end) = arena.ask(placement, grow) {
            committed.finish(end.map_err(Refusal::Error));
        }
        id
    }

    /// Needs none any more.
    pub fn withdraw(&self, arena: &Arena, id: GrowId) {
        if self.table.withdraw(id) {
            arena.forget(id);
        }
    }

    /// A claim of one of its requests.
    #[must_use]
    pub fn claim(&self, id: GrowId) -> Claim<'_> {
        Claim::new(&self.table, id)
    }

    /// How many spans it was granted and has not taken.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.granted.0.lock().len()
    }

    /// Takes what it was granted.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.granted.0.lock())
    }

    /// Frees what it was granted.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn free_all(&self, arena: &Arena) {
        for span in self.take() {
            arena.free(span).expect("a span that was granted");
        }
    }
}
