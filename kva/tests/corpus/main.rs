//! The corpora of the fuzz targets (`kva/fuzz`), replayed: each file is a script that a fuzzer found
//! worth keeping, played on an arena and on a naive model beside it. `cargo xtask fuzz` finds more.

#![cfg(not(loom))]

mod arena;
mod target;

use target::Target;

const ARENA: Target = Target { name: "arena", play: arena::play, describe: arena::describe };

#[test]
fn arena_corpus() {
    ARENA.replay();
}

#[test]
fn arena_any_bytes() {
    ARENA.play_any_bytes();
}
