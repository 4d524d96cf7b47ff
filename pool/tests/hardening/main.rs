//! The feature `hardening`: each knob by its effect, each violation found, what the reports say, and that
//! no promise is broken by any of it.

#![cfg(all(feature = "hardening", not(loom)))]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

#[path = "../faults/children.rs"]
mod children;
#[allow(dead_code, reason = "these have less to say to it")]
#[path = "../faults/watchdog.rs"]
mod watchdog;

mod all;
mod guard;
mod order;
mod poison;
mod puts;
mod quarantine;
mod world;
