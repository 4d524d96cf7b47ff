//! Plays scripts on pools; `pool/tests/corpus` replays those worth keeping.

#![no_main]

#[path = "../../tests/corpus/pools/mod.rs"]
mod pools;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    // With the file of a script that failed: what it says.
    if std::env::var_os("DESCRIBE").is_some() {
        eprintln!("{}", pools::describe(script));
    }
    pools::play(script);
});
