//! Who asks an arena by tokens that nobody sleeps for: a world looks at what it was granted.

use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, Claim, GrowId, GrowTable, Placement, Refusal, Sink, Span, SpanGrow};

#[derive(Debug, Default)]
struct Told(Mutex<(Vec<Span>, Vec<Refusal<AllocError>>)>);

impl Sink<Span, AllocError> for Told {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        let (granted, refused) = &mut *self.0.lock();
        match end {
            Ok(span) => granted.push(span),
            Err(refusal) => refused.push(refusal),
        }
    }
}

/// Asks by a request that was reserved.
///
/// # Panics
/// If the answer is none of an arena's.
pub fn ask(arena: &Arena, grow: SpanGrow, placement: impl Into<Placement>) {
    match arena.ask(placement, grow) {
        Answer::Now(committed, end) => committed.finish(end.map_err(Refusal::Error)),
        Answer::Later | Answer::Withdrawn => {}
        other => panic!("an arena answers now, later or not at all: {other:?}"),
    }
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Asker {
    table: Arc<GrowTable>,
    told: Arc<Told>,
}

impl Asker {
    /// With room for so many requests.
    #[must_use]
    pub fn new(requests: u32) -> Self {
        Self { table: GrowTable::new(requests), told: Arc::default() }
    }

    /// Whose requests these are.
    #[must_use]
    pub fn table(&self) -> &GrowTable {
        &self.table
    }

    /// A request that has yet to be asked.
    pub fn reserve(&self, arena: &Arena, slot: u32) -> SpanGrow {
        self.table.reserve(slot, arena.clock().now(), self.told.clone())
    }

    /// Asks; what is granted at once is among what was granted.
    ///
    /// # Panics
    /// As [`ask`].
    pub fn ask(&self, arena: &Arena, slot: u32, placement: impl Into<Placement>) -> GrowId {
        let grow = self.reserve(arena, slot);
        let id = grow.id();
        ask(arena, grow, placement);
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
        self.told.0.lock().0.len()
    }

    /// How often it was told that the arena is closed.
    ///
    /// # Panics
    /// If it was told anything else.
    #[must_use]
    pub fn told_of_close(&self) -> usize {
        let told = &self.told.0.lock().1;
        let close = |refusal: &Refusal<_>| matches!(refusal, Refusal::Error(AllocError::Closed));
        assert!(told.iter().all(close), "{told:?}");
        told.len()
    }

    /// Takes what it was granted.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.told.0.lock().0)
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
