//! All features of pools and arenas at once, on many threads, at random: for a minute in CI, an hour by hand.
//!
//! The models and the tests beside it look at one race each, and find what they were written for. This
//! looks for what nobody thought of: whatever the mixture comes to, the equations must hold (`laws.rs`
//! each second, `rest.rs` where all stand still), nobody waits for ever (`watchdog.rs`), and what the
//! process has in use does not grow (`trend.rs`). Each item is stamped with who holds it (`stamp.rs`),
//! so that one which is lent to two is seen.
//!
//! # What is in it
//!
//! After the guide, chapter by chapter:
//!
//! | chapter | in it |
//! | --- | --- |
//! | guards | items, owned ones, by handle; detached, discarded, attached; sent to other threads |
//! | the life of an object | constructors, resets, validations and destructors that fail and panic |
//! | how much it holds | low and high water, items a page, bypass 0, 2, 8 and 512, `max_growing`, magazines, reserve |
//! | priming | a pool that was built primed, and primed again at each rest; `prime` |
//! | waiting | with and without deadlines and page timeouts, tries, closes |
//! | async | tasks of tokio's; futures dropped after a few polls, and by a timeout; timers |
//! | factories | `Factory`, `Growers`, `AsyncFactory::new` and `on_tokio`, which fail, panic, hang a while; async validation |
//! | several items, reservations | of memory and objects, in time, now, async, as an event; `kva::deadlock` in debug builds |
//! | choosing | over pools, factories, spans, moments, closes; with a negative acknowledgement; as a future |
//! | the last one for root | critical and ordinary getters, and a reserve that changes |
//! | changing limits | hard limit, waters, drains |
//! | caches | handles, threads that end all the time with what is in theirs, and with items of their own |
//! | pieces; bytes and collections | all or none and as they come; frozen slices kept elsewhere; boxes and vectors |
//! | looking inside | stats, tables, `Debug`, metrics, serde |
//! | back-ends | an arena, a client with a quota, `Classic` with claims beside a thief, and the factories |
//! | the arena on its own | placement, two regions, both `Decommit`s, deadlines, futures, reclaim hooks, quotas, relocation |
//! | frames | pages, runs, pins, compaction |
//!
//! Not in it: `Item::leak`, which is a leak; an allocator without claims, from which pages are stolen by
//! design; huge pages and populated regions, which need more of the machine than a soak should take;
//! tracing, whose subscriber would be what is soaked.

#[cfg(not(loom))]
mod actions;
#[cfg(not(loom))]
mod chance;
#[cfg(not(loom))]
pub(crate) mod cli;
#[cfg(not(loom))]
mod failure;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod laws;
#[cfg(not(loom))]
mod numbers;
#[cfg(not(loom))]
mod object;
#[cfg(not(loom))]
mod parcel;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod rest;
#[cfg(not(loom))]
mod run;
#[cfg(not(loom))]
mod stamp;
#[cfg(not(loom))]
mod system;
#[cfg(not(loom))]
mod trend;
#[cfg(not(loom))]
mod watchdog;
#[cfg(not(loom))]
mod watched;
#[cfg(not(loom))]
mod worker;
#[cfg(not(loom))]
mod world;

/// There is no hour in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os()).into()
}
