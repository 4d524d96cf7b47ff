//! Faults: callers' code that panics at each of its calls in turn, back-ends that fail, panic, hang,
//! deliver late or what is not theirs, system calls that are refused, and threads and processes that end
//! in the middle of something. Nobody hangs, nothing leaks, and what is said names the fault.

#![cfg(not(loom))]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod cgroup;
mod children;
mod exits;
mod faulty;
mod fuse;
mod panics;
mod storm;
mod system;
mod watchdog;
mod wrong;
