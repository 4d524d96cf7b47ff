//! State machines: random operations on a pool, and beside each pool a model that is plainly right. What
//! has to come of an operation is compared; where more than one outcome is right, it is judged. All is on
//! one thread: tasks are polled by hand, when they were woken or once too often, and dropped.

#![cfg(not(loom))]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod choose;
mod made;
mod objects;
mod raw;
mod tasks;
mod typed;
