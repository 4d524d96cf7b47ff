//! That each source has as much as it should, gives it once, and takes it back.

use std::alloc::System;
use std::collections::HashSet;

use kva::Shape;
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

use super::allocator::Aligned;
use super::buddy::Buddy;
use super::by_hand::ByHand;
use super::committed::Committed;
use super::frames::Compacted;
use super::locked::Locked;
use super::mmap::Mmap;
use super::numbers::Numbers;
use super::offset::Offset;
use super::range::Ranges;
use super::tlsf::Tlsf;
use super::touched::Touched;
use crate::source::{Mapped, Moving, Room, Source};

const ROOM: Room = Room { quanta: 64, spans: 16 };

fn four(align: u32) -> Shape {
    Shape::aligned(4, align).unwrap()
}

fn gives_all_there_is_and_no_more<S: Source>(shape: Shape) {
    let mut source = S::new(ROOM);
    for _ in 0..3 {
        let mut spans: Vec<_> = (0..16).filter_map(|_| source.alloc(shape)).collect();
        assert_eq!(spans.len(), 16, "{}", S::NAME);
        assert!(source.alloc(shape).is_none(), "{}", S::NAME);
        source.free(spans.swap_remove(3));
        spans.push(source.alloc(shape).expect("one was freed"));
        assert!(source.alloc(shape).is_none(), "{}", S::NAME);
        for span in spans {
            source.free(span);
        }
    }
}

fn gives_memory<S: Mapped>(align: usize) {
    let mut source = Touched::<S>::new(ROOM);
    for _ in 0..3 {
        let spans: Vec<_> = (0..16).map(|_| source.alloc(four(4)).expect("there is memory")).collect();
        let starts: HashSet<_> = spans.iter().map(|span| source.start(span).addr().get()).collect();
        assert_eq!(starts.len(), 16, "{}", S::NAME);
        assert!(starts.iter().all(|start| start % align == 0), "{}", S::NAME);
        for span in spans {
            source.free(span);
        }
    }
}

#[test]
fn what_has_bounds_keeps_to_them() {
    gives_all_there_is_and_no_more::<Numbers>(four(4));
    gives_all_there_is_and_no_more::<Committed<false>>(four(4));
    gives_all_there_is_and_no_more::<Committed<true>>(four(4));
    gives_all_there_is_and_no_more::<Buddy>(four(4));
    gives_all_there_is_and_no_more::<Ranges>(four(4));
    gives_all_there_is_and_no_more::<Ranges>(four(1));
    gives_all_there_is_and_no_more::<Offset>(four(1));
    gives_all_there_is_and_no_more::<Tlsf>(four(1));
    gives_all_there_is_and_no_more::<Locked<Tlsf>>(four(1));
}

#[test]
fn memory_is_aligned_and_nobody_elses() {
    gives_memory::<Committed<false>>(16 << 10);
    gives_memory::<Committed<true>>(16 << 10);
    gives_memory::<Mmap>(4 << 10);
    gives_memory::<Aligned<System>>(16 << 10);
    gives_memory::<Aligned<MiMalloc>>(16 << 10);
    gives_memory::<Aligned<Jemalloc>>(16 << 10);
}

fn moves_and_loses_nothing<M: Moving>() {
    for protect in [false, true] {
        let mut moving = M::new(33, protect);
        for _ in 0..3 {
            assert!(moving.are_whole(), "{}", M::NAME);
            moving.pass();
            moving.spoil();
            assert!(moving.are_whole(), "{}", M::NAME);
        }
    }
}

#[test]
fn pages_are_moved_with_what_is_in_them() {
    moves_and_loses_nothing::<Compacted>();
    moves_and_loses_nothing::<ByHand<true>>();
    moves_and_loses_nothing::<ByHand<false>>();
}
