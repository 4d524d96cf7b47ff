//! What a get and a put cost: this workspace's pool beside what people use instead.
//!
//! | module | owns |
//! | --- | --- |
//! | [`subject`] | what is measured, and what a thread does with it |
//! | [`subjects`] | the subjects, a file each |
//! | [`source`], [`sources`] | the same of what spans are taken from |
//! | [`workloads`] | what is done with them, a file each |
//! | [`contestants`] | the table of who takes part in what |
//! | [`case`] | one subject in one workload, ready to be measured |
//! | [`criterion`] | cases as benches of Criterion |
//! | `hardening` | the feature of that name: hardened pools, and what is timed of them |
//! | [`results`] | what a run of the contest writes down |
//!
//! The binary `contest` measures cases in interleaved rounds; `cargo bench` measures the same ones
//! by Criterion. None of it runs in loom's small worlds.

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures are estimates")]

#[cfg(not(loom))]
pub mod case;
#[cfg(not(loom))]
pub mod contestants;
#[cfg(not(loom))]
pub mod criterion;
#[cfg(all(feature = "hardening", not(loom)))]
pub mod hardening;
#[cfg(not(loom))]
mod overtakes;
#[cfg(not(loom))]
pub mod results;
#[cfg(not(loom))]
pub mod source;
#[cfg(not(loom))]
pub mod sources;
#[cfg(not(loom))]
pub mod statistics;
#[cfg(not(loom))]
pub mod subject;
#[cfg(not(loom))]
pub mod subjects;
#[cfg(not(loom))]
pub mod threads;
#[cfg(not(loom))]
pub mod workloads;

use kva::{Arena, Region, Reserve};

/// An arena of `bytes` bytes, in quanta of 4 KiB.
///
/// # Panics
/// If the address space cannot be reserved.
#[must_use]
pub fn arena(bytes: usize) -> Arena {
    let region = Region::reserve(bytes, Reserve::new()).expect("address space");
    Arena::new(region, 4096).expect("a good arena")
}
