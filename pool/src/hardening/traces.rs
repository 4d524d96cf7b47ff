//! Where each item was got and put last: return addresses, in tables beside the pages.
//!
//! They are noted without allocating (P7) and without a lock, by whoever has the item: as it is got,
//! and as it is put, between the claim and the put. Names are looked up by a report, if there ever is
//! one. A report of a second put reads them while somebody else, who got the item since, may be
//! noting theirs, so each word is read by itself, and such a report may have a call of either.

use std::ffi::c_void;
use std::fmt;

use kva::sync::unseen::{AtomicUsize, zeroed};

/// How many calls of each trace are kept.
const DEPTH: usize = 16;

/// Where somebody was: the return addresses of the calls that led there, innermost first. `Display`
/// looks up their names, and where they are, if there is debug information.
///
/// See [`Violation`](super::Violation) for an example.
#[derive(Clone, Copy)]
pub struct Trace([usize; DEPTH]);

impl Trace {
    /// Where the caller is.
    #[inline(never)]
    pub(super) fn here() -> Self {
        let mut trace = [0; DEPTH];
        let mut at = 0;
        let note = |frame: &backtrace::Frame| {
            trace[at] = frame.ip().addr();
            at += 1;
            at < DEPTH
        };
        // SAFETY: what must not happen at the same time, of the library's, is of Windows only. The
        // unwinder is there for threads that panic at the same time.
        unsafe { backtrace::trace_unsynchronized(note) };
        Self(trace)
    }

    /// The return addresses, innermost first. Those of the pool's own come first.
    pub fn addresses(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().take_while(|address| *address != 0)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.addresses().map(|address| format!("{address:#x}"))).finish()
    }
}

/// Whether a function is of this crate's, or of what it takes traces with.
fn is_ours(name: &str) -> bool {
    starts_with_any(name, &["pool::", "kva::", "backtrace::"])
}

fn is_of_std(name: &str) -> bool {
    starts_with_any(name, &["core::", "alloc::", "std::"])
}

fn starts_with_any(name: &str, crates: &[&str]) -> bool {
    let name = name.trim_start_matches(['<', '&', '_']);
    crates.iter().any(|of| name.starts_with(of))
}

/// A call a line, from the first that is not the pool's on.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut calls = Vec::new();
        for address in self.addresses() {
            let before = calls.len();
            backtrace::resolve(std::ptr::without_provenance_mut::<c_void>(address), |symbol| {
                let name = symbol.name().map_or_else(|| format!("{address:#x}"), |name| format!("{name:#}"));
                let place = symbol.filename().zip(symbol.lineno());
                let place = place.map(|(file, line)| format!(" ({}:{line})", file.display()));
                calls.push((name, place.unwrap_or_default()));
            });
            if calls.len() == before {
                calls.push((format!("{address:#x}"), String::new()));
            }
        }
        let of_nobody = |(name, _): &&(String, String)| is_ours(name) || is_of_std(name);
        let begin = calls.iter().take_while(of_nobody).count();
        let first = calls[..begin].iter().rposition(|(name, _)| is_ours(name)).map_or(0, |at| at + 1);
        // One that is all ours is of a put that nobody called: of a future that was dropped.
        let first = if first == calls.len() { 0 } else { first };
        // Below that is what every thread begins with.
        let last = calls.iter().position(|(name, _)| name.contains("__rust_begin_short_backtrace"));
        for (name, place) in &calls[first..last.unwrap_or(calls.len()).max(first)] {
            write!(f, "\n    at {name}{place}")?;
        }
        Ok(())
    }
}

/// Which of an item's two traces.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Last {
    Got,
    Put,
}

/// Those of the items of one segment of the index.
#[derive(Debug)]
pub(crate) struct Traces {
    words: Box<[AtomicUsize]>,
}

impl Traces {
    /// Of so many items. `None`: there is no memory for them.
    pub(crate) fn new(items: usize) -> Option<Self> {
        Some(Self { words: zeroed(items.checked_mul(2 * DEPTH)?)? })
    }

    fn row(&self, item: usize, last: Last) -> &[AtomicUsize] {
        &self.words[(2 * item + last as usize) * DEPTH..][..DEPTH]
    }

    pub(super) fn note(&self, item: usize, last: Last, trace: &Trace) {
        for (word, address) in self.row(item, last).iter().zip(trace.0) {
            word.set(address);
        }
    }

    /// `None`: there was no such.
    pub(super) fn get(&self, item: usize, last: Last) -> Option<Trace> {
        let mut trace = [0; DEPTH];
        for (address, word) in trace.iter_mut().zip(self.row(item, last)) {
            *address = word.get();
        }
        (trace[0] != 0).then_some(Trace(trace))
    }
}
