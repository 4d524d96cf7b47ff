//! Plays scripts on an arena; `kva/tests/corpus` replays those worth keeping.

#![no_main]

#[path = "../../tests/corpus/arena/mod.rs"]
mod arena;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    // With the file of a script that failed: what it says.
    if std::env::var_os("DESCRIBE").is_some() {
        eprintln!("{}", arena::describe(script));
    }
    arena::play(script);
});
