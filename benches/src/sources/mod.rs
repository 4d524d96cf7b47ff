//! The sources, a file each.
//!
//! Ours has its lock inside. What is for one thread is measured behind a lock too, as whoever shares it
//! must have it.
#![allow(missing_debug_implementations, reason = "not all peers can be shown")]
#![allow(clippy::disallowed_types, reason = "peers are measured as people write them")]

pub mod allocator;
pub mod buddy;
pub mod by_hand;
pub mod committed;
pub mod frames;
pub mod locked;
pub mod mmap;
pub mod nothing;
pub mod numbers;
pub mod offset;
pub mod range;
pub mod tlsf;
pub mod touched;

#[cfg(test)]
mod tests;
