//! The grow token: one pending request for one page, and who decides how it ends.
//!
//! # The problem
//!
//! A getter asks a back-end for a page and the back-end has none. Now two parties
//! may end the request at the same moment: the back-end, which finds a page, and
//! the getter's pool, which no longer needs it because somebody put an item back.
//! They hold different locks, and never both. If both win, a page nobody counted
//! arrives (P1) or one is lost (P5); if each thinks that the other won, the getter
//! sleeps for ever (P2).
//!
//! # The protocol
//!
//! Each request has one *word*, and whoever changes it from *pending* has won:
//!
//! | state | who holds the [`Grow`] | may become |
//! | --- | --- | --- |
//! | pending, *reserved* | the asker, on its way to the back-end | committed, withdrawn |
//! | pending, *asked* | the back-end, in its queue | committed, withdrawn |
//! | committed | the back-end, as [`Committed`]: a page or an error will follow | spent |
//! | spent | as before, but the answer is known: what is freed to it now comes too late | - |
//! | withdrawn | whoever still has the token, which is worthless now | - |
//!
//! *Reserved* and *asked* are one state of the word: a request that is withdrawn on
//! its way to the back-end is found withdrawn when it gets there, under the
//! back-end's own lock, and is not queued.
//!
//! A back-end that can look at the word while it waits commits at the last moment,
//! when it has the page in hand. One that sleeps on the caller's thread and cannot
//! look commits before it sleeps: its request cannot be withdrawn, and its page
//! comes whenever it comes.
//!
//! One that makes pages rather than finds them, a factory, commits before it begins, since
//! what it has begun takes its place in the world (a connection at its server) until it has
//! ended. Where somebody must keep it going, it hands its asker the [`Work`]. Dropping that
//! says that nobody needs the page any more; the request still ends by its token,
//! [given up](Refusal::GivenUp), once nothing is left of it.
//!
//! # Claims
//!
//! A back-end that sleeps on its caller's thread is reached by freeing a page *to* the
//! grow it sleeps for: a [`Claim`] names it. Between its reservation and its sleep the
//! grow is on its way, and a page that is freed to it must not be lost to a thief
//! just then. So whoever keeps the pages looks at the word, under its own lock: while it
//! says pending or committed, the request is here or will come, and the page is kept for
//! it; once it says *spent*, which the same lock orders, the request has its answer. A
//! withdrawal is followed by a `forget`, which takes that lock and lets the page go.
//!
//! # Invariants
//!
//! 1. A word leaves *pending* exactly once for each reservation: by `commit` or by
//!    `withdraw`, never both.
//! 2. A [`Committed`] ends exactly once: delivered or refused. Dropping it refuses,
//!    as dropping a [`Grow`] does, so that a panic in a back-end ends the request.
//! 3. A token of an earlier reservation of the same slot changes nothing: the word
//!    carries the reservation's number.
//!
//! # Memory orderings
//!
//! The word elects a winner and carries no data: what the winner hands over (a
//! page, a ledger slot) is handed over under the pool's or the back-end's lock. All
//! its accesses are Relaxed; a read-modify-write always sees the latest value, and
//! the argument for "withdrawn before asked" goes by the back-end's lock, see
//! [`Arena::forget`](crate::Arena::forget).

mod answer;
mod claim;
mod end;
mod table;
mod token;

pub use answer::{Answer, Work};
pub use claim::Claim;
pub use end::{Refusal, Sink};
pub use table::{GrowId, GrowTable};
pub use token::{Committed, Grow};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{Arc, Mutex};

    #[derive(Debug, Default)]
    struct Ends(Mutex<Vec<Result<u8, Refusal<&'static str>>>>);

    impl Sink<u8, &'static str> for Ends {
        fn finish(&self, _: GrowId, end: Result<u8, Refusal<&'static str>>) {
            self.0.lock().push(end);
        }
    }

    fn world() -> (Arc<GrowTable>, Arc<Ends>) {
        (GrowTable::new(1), Arc::default())
    }

    #[test]
    fn each_way_to_end_ends_once() {
        let (table, ends) = world();
        let commit = |table: &Arc<GrowTable>| table.reserve(0, 0, ends.clone()).commit().unwrap();
        commit(&table).deliver(7);
        commit(&table).refuse("no");
        drop(commit(&table));
        drop(table.reserve(0, 0, ends.clone()));
        let expected = [Ok(7), Err(Refusal::Error("no")), Err(Refusal::Abandoned), Err(Refusal::Abandoned)];
        assert_eq!(*ends.0.lock(), expected);
    }

    #[test]
    fn withdrawn_is_neither_committed_nor_refused() {
        let (table, ends) = world();
        let grow = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(grow.id()));
        assert!(!table.withdraw(grow.id()), "only once");
        assert!(grow.is_withdrawn());
        assert!(grow.commit().is_err());
        let dropped = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(dropped.id()));
        drop(dropped);
        assert!(ends.0.lock().is_empty());
    }

    #[test]
    fn a_late_token_of_an_earlier_reservation_changes_nothing() {
        let (table, ends) = world();
        let late = table.reserve(0, 0, ends.clone());
        assert!(table.withdraw(late.id()));
        let current = table.reserve(0, 0, ends.clone());
        assert!(late.commit().is_err());
        let committed = current.commit().expect("not disturbed by the late one");
        assert!(!table.withdraw(committed.id()), "too late");
        committed.deliver(1);
        assert_eq!(*ends.0.lock(), [Ok(1)]);
    }
}
