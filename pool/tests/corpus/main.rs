//! The corpora of the fuzz targets (`pool/fuzz`), replayed: each file is a script that a fuzzer found
//! worth keeping, played on pools and on a naive model beside it. `cargo xtask fuzz` finds more.

#![cfg(not(loom))]

mod pools;
#[path = "../../../kva/tests/corpus/target.rs"]
mod target;

use target::Target;

const POOLS: Target = Target { name: "pools", play: pools::play, describe: pools::describe };

#[test]
fn pools_corpus() {
    POOLS.replay();
}

#[test]
fn pools_any_bytes() {
    POOLS.play_any_bytes();
}
