//! The pages of a pool.

mod naive;

use std::alloc::Layout;

use proptest::prelude::*;

use super::*;
use naive::{Op, World};

fn pages(items: u32, capacity: u32) -> Pages<usize> {
    let carve = Carve::new(Layout::from_size_align(24, 8).unwrap(), 64, Some(items)).unwrap();
    Pages::new(carve, capacity, false, false, None).unwrap()
}

fn address(n: usize) -> NonNull<u8> {
    NonNull::without_provenance(n.try_into().unwrap())
}

#[test]
fn wrong_puts_are_told_apart_and_change_nothing() {
    let mut pages = pages(4, 2);
    pages.insert(0, address(0x1000));
    let loan = pages.take(Location::caller()).unwrap();
    assert_eq!(loan.ptr, address(0x1000));
    assert_eq!(pages.locate(address(0x9000)), Err(PutError::Foreign(0x9000)));
    assert_eq!(pages.locate(address(0x1001)), Err(PutError::NotAnItem { pointer: 0x1001, offset: 1 }));
    assert_eq!(
        pages.locate(address(0x1000 + 24 * 4)),
        Err(PutError::NotAnItem { pointer: 0x1060, offset: 24 })
    );
    let never_out = pages.locate(address(0x1000 + 24)).unwrap();
    assert_eq!(pages.put(never_out, false), Err(PutError::DoublePut(0x1018)));
    pages.put(loan.slot, false).unwrap();
    assert_eq!(pages.put(loan.slot, false), Err(PutError::DoublePut(0x1000)));
    assert_eq!(pages.free_items(), 4);
}

#[test]
fn an_offset_past_four_gigabytes_is_no_item() {
    const GRANULE: usize = 1 << 33;
    let carve = Carve::new(Layout::from_size_align(1, 1).unwrap(), GRANULE, Some(2)).unwrap();
    let mut pages = Pages::new(carve, 1, false, false, None).unwrap();
    pages.insert((), address(GRANULE));
    let pointer = GRANULE + (1 << 32);
    assert_eq!(pages.locate(address(pointer)), Err(PutError::NotAnItem { pointer, offset: (1 << 32) - 1 }));
}

#[test]
fn the_middle_of_a_page_of_one_item_is_no_foreign_pointer() {
    let mut pages = pages(1, 1);
    pages.insert(0, address(0x1040));
    assert_eq!(pages.locate(address(0x1050)), Err(PutError::NotAnItem { pointer: 0x1050, offset: 16 }));
    assert_eq!(pages.locate(address(0x1080)), Err(PutError::Foreign(0x1080)));
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0_u32..6).prop_map(Op::Insert),
        8 => Just(Op::Take),
        6 => (which(), any::<bool>()).prop_map(|(item, with_object)| Op::Put(item, with_object)),
        1 => which().prop_map(Op::PutCached),
        1 => which().prop_map(Op::PutAgain),
        1 => which().prop_map(Op::Locate),
        1 => Just(Op::NoLongerFresh),
        2 => Just(Op::SetApart),
        3 => (which(), 0_usize..130, 0_usize..200)
            .prop_map(|(page, before, len)| Op::Within(page, before, len)),
        2 => Just(Op::NextObject),
        1 => Just(Op::Remove),
    ]
}

/// Items to a page, and whether they keep objects, and come with them.
fn kind() -> impl Strategy<Value = (u32, bool, bool)> {
    let several = (1_u32..5, any::<bool>()).prop_map(|(items, keeps)| (items, keeps, false));
    prop_oneof![3 => several, 1 => Just((1, true, true))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn agrees_with_lists_of_items((items, keeps, filled) in kind(), ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(items, keeps, filled);
        for op in ops {
            world.apply(&op);
            world.check();
        }
        world.end();
    }
}
