//! A fuzz target as an ordinary test: its corpus, and any bytes at all. The pool's targets are replayed by
//! this file too.

use std::fs;
use std::path::Path;

/// A target: how a script is played, and what it says.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) play: fn(&[u8]),
    pub(crate) describe: fn(&[u8]) -> String,
}

impl Target {
    fn play(&self, from: &str, script: &[u8]) {
        if let Err(panic) = std::panic::catch_unwind(|| (self.play)(script)) {
            eprintln!("that was {from}:\n{}", (self.describe)(script));
            std::panic::resume_unwind(panic);
        }
    }

    /// Plays the corpus of the package that this is built for.
    pub(crate) fn replay(&self) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(self.name);
        let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in &files {
            self.play(&file.display().to_string(), &fs::read(file).unwrap());
        }
        println!("{}: {} scripts of the corpus replayed", self.name, files.len());
        assert!(files.len() >= 50, "the corpus in {} is lost", corpus.display());
    }

    /// Any bytes are a script: none, and those that nobody found worth keeping.
    pub(crate) fn play_any_bytes(&self) {
        let mut random = 1_u64;
        let mut byte = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        };
        for length in 0..300 {
            let script: Vec<u8> = std::iter::repeat_with(&mut byte).take(length * 4).collect();
            self.play(&format!("number {length} of those that were drawn"), &script);
        }
        for byte in [0, 0xff] {
            self.play("one byte, often", &[byte; 1000]);
        }
    }
}
