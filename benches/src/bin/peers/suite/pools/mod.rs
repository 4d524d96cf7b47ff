//! The pools that take part, a file each.
//!
//! Each is configured as its documentation says for such use. Timeouts are left out, or set
//! to an hour where there must be one: what the scenarios ask is whether somebody is woken,
//! which no timer should have to answer.

mod bb8;
mod deadpool;
mod deadpool_unmanaged;
mod fast_pool;
mod lockfree_object_pool;
mod mobc;
#[cfg(test)]
pub(crate) mod naive;
mod object_pool;
mod opool;
mod own;
mod r2d2;
mod sharded_slab;

use std::time::Duration;

use crate::suite::subject::{Need, Peer};

/// All of them, in the table's order.
pub(crate) const PEERS: [&Peer; 13] = [
    &own::OWN_THREAD,
    &own::GROWERS,
    &own::ASYNC,
    &deadpool::PEER,
    &deadpool_unmanaged::PEER,
    &bb8::PEER,
    &r2d2::PEER,
    &mobc::PEER,
    &fast_pool::PEER,
    &object_pool::PEER,
    &opool::PEER,
    &lockfree_object_pool::PEER,
    &sharded_slab::PEER,
];

/// For timeouts that cannot be left out.
const AN_HOUR: Duration = Duration::from_hours(1);

/// What a pool that makes another object whenever it has none lacks.
const MAKES_ANOTHER: &[(Need, &str)] = &[
    (Need::Limit, "no limit: a get that finds no object makes another"),
    (Need::Waiting, "no waiting"),
    (Need::FallibleCreator, "the creator cannot fail"),
];
