//! Worlds too large for loom, in schedules that shuttle draws: tens of threads, several pools and arenas,
//! everything that can be done at once. At the end all is at rest (P6), nobody hangs (P2), and the
//! equations hold before every unlock. The twins fail in the same worlds.
//!
//! shuttle sees no orderings, so that none of the twins here lacks one: those are in the small worlds
//! beside this folder. Which world is in which file is by what its threads do.

#![cfg(shuttle)]

mod caches;
mod closing;
mod dice;
mod factories;
mod holders;
mod naive;
mod spans;
mod stolen;
mod storm;
mod tasks;
