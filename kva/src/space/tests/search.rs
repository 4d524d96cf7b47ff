//! The exact search beside one from each quantum.

use proptest::prelude::*;

use crate::space::map::Map;

#[derive(Debug, Clone)]
enum Op {
    /// From there on, so many quanta become used, or free.
    Set(prop::sample::Index, u32, bool),
    /// So many from a multiple of 2^log on, no earlier than there.
    Find(prop::sample::Index, u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![3 => 1u32..20, 2 => 1u32..700, 1 => 1u32..5000];
    prop_oneof![
        3 => (any::<prop::sample::Index>(), len(), any::<bool>()).prop_map(|(at, len, used)| Op::Set(at, len, used)),
        2 => (any::<prop::sample::Index>(), len(), 0u32..14).prop_map(|(at, len, log)| Op::Find(at, len, log)),
    ]
}

proptest! {
    #[test]
    fn the_tree_agrees_with_the_bitmap(
        n in prop_oneof![1u32..1200, 1000u32..9000],
        // Around multiples of large powers of two, at which the tallest nodes meet.
        (less, log) in (prop_oneof![0usize..6000, (0usize..12).prop_map(|blocks| blocks * 512)], 13u32..40),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let origin = (1usize << log) - less;
        let mut map = Map::new(n, origin);
        let mut used = vec![false; n as usize];
        for op in ops {
            match op {
                Op::Set(at, len, set) => {
                    let start = at.index(n as usize) as u32;
                    let end = n.min(start + len);
                    if set { map.set_used(start..end) } else { map.set_free(start..end) }
                    used[start as usize..end as usize].fill(set);
                }
                Op::Find(at, len, log) => {
                    let mut free = vec![0u32; n as usize + 1];
                    for at in (0..n as usize).rev() {
                        free[at] = if used[at] { 0 } else { free[at + 1] + 1 };
                    }
                    let aligned = |at: &u32| (origin + *at as usize).is_multiple_of(1 << log);
                    let from = at.index(n as usize) as u32;
                    let first = (from..n).filter(aligned).find(|at| free[*at as usize] >= len);
                    prop_assert_eq!(map.first_fit(from, len, log), first);
                    let longest = (0..n).filter(aligned).map(|at| free[at as usize]).max();
                    prop_assert_eq!(map.longest(log), longest.unwrap_or(0));
                }
            }
        }
        map.check();
    }
}
