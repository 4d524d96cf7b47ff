//! The subjects, a file each.
//!
//! Each is configured as is best for it. What makes no objects itself is filled before anything is
//! measured. Who lends objects by value lends boxes, so that it moves a pointer and not an object.
#![allow(missing_debug_implementations, reason = "not all peers can be shown")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "peers are measured as people write them"
)]

pub mod allocator;
pub mod array_queue;
pub mod bare_array;
pub mod channel;
pub mod deadpool_unmanaged;
pub mod hand_off;
pub mod lockfree_object_pool;
pub mod mutex_condvar;
pub mod object_pool;
pub mod opool;
pub mod ours;
pub mod ours_by_handle;
pub mod ours_raw;
pub mod ours_raw_by_handle;
pub mod ring_alone;
pub mod sharded_slab;
mod stocked;

#[cfg(test)]
mod tests;
