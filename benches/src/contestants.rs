//! Who takes part in what.

use std::alloc::System;

use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

use crate::case::Case;
use crate::source::Source;
use crate::sources::allocator::Aligned;
use crate::sources::buddy::Buddy;
use crate::sources::by_hand::ByHand;
use crate::sources::committed::Committed;
use crate::sources::frames::Compacted;
use crate::sources::locked::Locked;
use crate::sources::mmap::Mmap;
use crate::sources::nothing::Nothing;
use crate::sources::numbers::Numbers;
use crate::sources::offset::Offset;
use crate::sources::range::Ranges;
use crate::sources::tlsf::Tlsf;
use crate::subject::USUAL;
use crate::subjects::allocator::Allocator;
use crate::subjects::array_queue::ArrayQueue;
use crate::subjects::bare_array::BareArray;
use crate::subjects::channel::Channel;
use crate::subjects::deadpool_unmanaged::DeadpoolUnmanaged;
use crate::subjects::hand_off::HandOff;
use crate::subjects::lockfree_object_pool::Linear;
use crate::subjects::mutex_condvar::{MutexCondvar, ParkingLot, Std};
use crate::subjects::object_pool::ObjectPool;
use crate::subjects::opool::Opool;
use crate::subjects::ours::Ours;
use crate::subjects::ours_by_handle::OursByHandle;
use crate::subjects::ours_raw::OursRaw;
use crate::subjects::ours_raw_by_handle::OursRawByHandle;
use crate::subjects::ring_alone::RingAlone;
use crate::subjects::sharded_slab::{ShardedSlab, ShardedSlabOwned};
use crate::workloads::spans::Mix;
use crate::workloads::{
    burst, bytes, churn, committed, contended, create, large, memory, moving, remote, scale, scarce, spans,
    uncontended,
};

/// The name of the subject that others are compared with.
pub const OURS: &str = "ours";

const KIB: usize = 1024;

/// All cases, in the order of the tables.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();

    macro_rules! takes_part {
        ($subject:ty: $($workload:ident)+) => { $( $workload::add::<$subject>(&mut cases); )+ };
    }
    takes_part!(Ours<USUAL>:                  uncontended contended scarce remote burst churn);
    takes_part!(OursRaw<USUAL>:               uncontended contended scarce remote burst churn);
    // A handle is one thread's, and so is what it gets.
    takes_part!(OursByHandle<USUAL>:          uncontended contended scarce burst churn);
    takes_part!(OursRawByHandle<USUAL>:       uncontended contended scarce burst churn);
    // What the default is one of.
    takes_part!(Ours<USUAL, 0>:               scarce);
    takes_part!(Ours<USUAL, 8>:               scarce);
    takes_part!(Ours<USUAL, 32>:              scarce);
    takes_part!(Ours<USUAL, 128>:             scarce);
    takes_part!(Ours<USUAL, 2048>:            scarce);
    // The limits of what can be done: shared with nobody, and nothing at all.
    takes_part!(BareArray:                    uncontended burst);
    takes_part!(RingAlone:                    remote);
    // Without a bound, so never scarce.
    takes_part!(Allocator<MiMalloc, USUAL>:   uncontended contended remote burst churn);
    takes_part!(Allocator<Jemalloc, USUAL>:   uncontended contended remote burst churn);
    takes_part!(Allocator<System, USUAL>:     uncontended contended remote burst churn);
    // Do not wait: when they have no object they say so, or make another.
    takes_part!(ArrayQueue:                   uncontended contended remote burst churn);
    takes_part!(ObjectPool:                   uncontended contended remote burst churn);
    takes_part!(Opool:                        uncontended contended remote burst churn);
    takes_part!(Linear:                       uncontended contended remote burst churn);
    takes_part!(ShardedSlab:                  uncontended contended burst churn);
    takes_part!(ShardedSlabOwned:             remote);
    takes_part!(Channel:                      uncontended contended scarce remote burst churn);
    takes_part!(DeadpoolUnmanaged:            uncontended contended scarce remote burst churn);
    takes_part!(MutexCondvar<Std<_>>:         uncontended contended scarce remote burst churn);
    takes_part!(MutexCondvar<ParkingLot<_>>:  uncontended contended scarce remote burst churn);
    takes_part!(HandOff:                      uncontended contended scarce remote burst churn);

    macro_rules! in_sizes {
        ($($subject:ident<$($allocator:ident,)? _>)+) => { $(
            bytes::add::<$subject<$($allocator,)? 64>, 64>(&mut cases);
            bytes::add::<$subject<$($allocator,)? { 4 * KIB }>, { 4 * KIB }>(&mut cases);
            bytes::add::<$subject<$($allocator,)? { 256 * KIB }>, { 256 * KIB }>(&mut cases);
        )+ };
    }
    in_sizes!(Ours<_> OursByHandle<_> OursRaw<_> OursRawByHandle<_>);
    in_sizes!(Allocator<MiMalloc, _> Allocator<Jemalloc, _> Allocator<System, _>);

    scale::add(&mut cases);
    create::add(&mut cases);
    memory::add(&mut cases);
    arenas(&mut cases);

    // Side by side with what they are compared with, in the order of the tables above.
    cases.sort_by_key(|case| case.bench);
    let mut grouped: Vec<Case> = Vec::with_capacity(cases.len());
    for case in cases {
        let after = grouped.iter().rposition(|one| one.is_beside(&case));
        grouped.insert(after.map_or(grouped.len(), |at| at + 1), case);
    }
    grouped
}

/// The cases of what spans are taken from.
fn arenas(cases: &mut Vec<Case>) {
    use spans::{FILLS, LIVE, Part};
    let all = Part { mixes: &Mix::ALL, live: &LIVE, fills: &FILLS };
    spans::add::<Numbers>(cases, all);
    // A system call for each, and tens of GiB of addresses: once is enough.
    spans::add::<Committed<false>>(cases, Part { fills: &[80], ..all });
    spans::add::<Nothing>(cases, Part { mixes: &[Mix::OneToSixteen], fills: &[80], ..all });

    macro_rules! peer {
        ($peer:ty, $part:expr) => {
            spans::add::<Locked<$peer>>(cases, $part);
            // The lock takes the same wherever it is.
            spans::add::<$peer>(cases, Part { live: &LIVE[..1], ..$part });
        };
    }
    // Shapes that it does not know it is not asked for.
    peer!(Offset, Part { mixes: &[Mix::OneToSixteen], ..all });
    peer!(Tlsf, Part { mixes: &[Mix::OneToSixteen], ..all });
    peer!(Buddy, Part { mixes: &[Mix::FourAtFour, Mix::PowersOfTwo], ..all });
    // It looks through all free ranges: a million of spans it would not have freed today.
    peer!(Ranges, Part { live: &LIVE[..2], ..all });

    large::add::<large::Ours>(cases, &large::SHAPES);
    large::add::<large::Barging<Ranges>>(cases, &large::SHAPES);
    large::add::<large::Barging<Offset>>(cases, &large::SHAPES[2..]);

    committed::add::<Committed<false>>(cases, OURS);
    committed::add::<Committed<true>>(cases, Committed::<true>::NAME);
    committed::add::<Mmap>(cases, Mmap::NAME);
    committed::add::<Aligned<System>>(cases, Aligned::<System>::NAME);
    committed::add::<Aligned<MiMalloc>>(cases, Aligned::<MiMalloc>::NAME);
    committed::add::<Aligned<Jemalloc>>(cases, Aligned::<Jemalloc>::NAME);

    moving::add::<Compacted>(cases);
    // The limits of what can be done, without asking anybody.
    moving::add::<ByHand<true>>(cases);
    moving::add::<ByHand<false>>(cases);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::case::Bench;

    #[test]
    fn no_two_are_the_same() {
        let cases = cases();
        let distinct: HashSet<_> = cases.iter().map(|case| format!("{case:?}")).collect();
        assert_eq!(distinct.len(), cases.len());
    }

    #[test]
    fn ours_are_in_every_group() {
        let cases = cases();
        for case in &cases {
            assert!(cases.iter().any(|one| one.is_beside(case) && one.subject == OURS), "{case:?}");
        }
    }

    #[test]
    fn what_is_compared_is_side_by_side() {
        let cases = cases();
        let groups = cases.chunk_by(Case::is_beside).count();
        let distinct: HashSet<_> =
            cases.iter().map(|case| (case.bench.to_string(), case.shape.clone(), case.threads)).collect();
        assert_eq!(groups, distinct.len());
        assert!(cases.is_sorted_by_key(|case| case.bench));
        assert_eq!(cases.first().map(|case| case.bench), Some(Bench::Uncontended));
    }
}
