//! The ledger, and beside it a list of the slots themselves.

use super::*;
use proptest::prelude::*;

#[test]
fn the_last_slot_is_reserved_once() {
    let mut ledger = Ledger::new(1, 0, 1);
    assert!(ledger.reserve());
    assert!(!ledger.reserve());
    ledger.ended();
    assert!(ledger.reserve());
    ledger.delivered();
    assert!(!ledger.reserve(), "a page holds the slot that its grow held");
    ledger.leaves();
    assert!(!ledger.reserve(), "until it has left");
    ledger.released();
    assert!(ledger.reserve());
}

#[test]
fn a_lowered_limit_comes_down_with_what_is_held() {
    let mut ledger = Ledger::new(3, 0, 3);
    for _ in 0..3 {
        assert!(ledger.reserve());
        ledger.delivered();
    }
    ledger.set_limit(1);
    assert!(ledger.is_over());
    ledger.leaves();
    ledger.released();
    assert!(ledger.is_over() && !ledger.has_room(), "what was given up is not taken again");
    assert_eq!(ledger.bound, 2, "nor may it be");
    ledger.check();
    ledger.leaves();
    assert!(!ledger.is_over() && !ledger.has_room(), "enough are leaving, and none has left");
    ledger.released();
    assert!(!ledger.is_over() && !ledger.has_room());
    ledger.set_limit(2);
    assert!(ledger.reserve());
    ledger.check();
}

/// What one slot is held by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Growing,
    Held,
    Leaving,
}

/// What the ledger counts, one by one.
#[derive(Debug)]
struct Naive {
    slots: Vec<Slot>,
    limit: u32,
    low: u32,
    high: u32,
}

impl Naive {
    fn count(&self, of: Slot) -> u32 {
        self.slots.iter().filter(|slot| **slot == of).count() as u32
    }

    fn used(&self) -> u32 {
        self.slots.len() as u32
    }

    fn turn(&mut self, from: Slot, to: Slot) {
        *self.slots.iter_mut().find(|slot| **slot == from).unwrap() = to;
    }

    fn free(&mut self, what: Slot) {
        let at = self.slots.iter().position(|slot| *slot == what).unwrap();
        self.slots.swap_remove(at);
    }

    /// A ledger in this state. What was given up above the limit is gone for good, so that nothing else
    /// need be remembered.
    fn expected(&self) -> Ledger {
        Ledger {
            pages: self.count(Slot::Held) + self.count(Slot::Leaving),
            leaving: self.count(Slot::Leaving),
            growing: self.count(Slot::Growing),
            limit: self.limit,
            bound: self.limit.max(self.used()),
            low: self.low,
            high: self.high,
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Reserve,
    Delivered,
    Ended,
    Leaves,
    Stays,
    Released,
    Limit(u32),
    Water(u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Reserve),
        3 => Just(Op::Delivered),
        1 => Just(Op::Ended),
        2 => Just(Op::Leaves),
        1 => Just(Op::Stays),
        2 => Just(Op::Released),
        2 => (1_u32..6).prop_map(Op::Limit),
        1 => (0_u32..6, 0_u32..6).prop_map(|(one, other)| Op::Water(one, other)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// P1 in every sequence of calls, and nothing begins above the limit.
    #[test]
    fn agrees_with_a_list_of_slots(limit in 1_u32..5, ops in prop::collection::vec(op(), 1..60)) {
        let mut ledger = Ledger::new(limit, 0, limit);
        let mut naive = Naive { slots: Vec::new(), limit, low: 0, high: limit };
        for op in ops {
            match op {
                Op::Reserve => {
                    let room = naive.used() < naive.limit;
                    prop_assert_eq!((ledger.has_room(), ledger.reserve()), (room, room));
                    naive.slots.extend(room.then_some(Slot::Growing));
                }
                Op::Delivered if naive.count(Slot::Growing) > 0 => {
                    ledger.delivered();
                    naive.turn(Slot::Growing, Slot::Held);
                }
                Op::Ended if naive.count(Slot::Growing) > 0 => {
                    ledger.ended();
                    naive.free(Slot::Growing);
                }
                Op::Leaves if naive.count(Slot::Held) > 0 => {
                    ledger.leaves();
                    naive.turn(Slot::Held, Slot::Leaving);
                }
                Op::Stays if naive.count(Slot::Leaving) > 0 => {
                    ledger.stays();
                    naive.turn(Slot::Leaving, Slot::Held);
                }
                Op::Released if naive.count(Slot::Leaving) > 0 => {
                    ledger.released();
                    naive.free(Slot::Leaving);
                }
                Op::Limit(to) => {
                    ledger.set_limit(to);
                    naive.limit = to;
                }
                Op::Water(one, other) => {
                    (naive.low, naive.high) = (one.min(other).min(naive.limit), one.max(other));
                    ledger.set_water(naive.low, naive.high);
                }
                _ => {}
            }
            ledger.check();
            prop_assert_eq!(&ledger, &naive.expected());
            prop_assert_eq!(ledger.staying(), naive.count(Slot::Held));
            prop_assert_eq!(ledger.low(), naive.low.min(naive.limit));
            let kept = naive.count(Slot::Held) + naive.count(Slot::Growing);
            prop_assert_eq!(ledger.is_over(), kept > naive.limit);
        }
    }
}
