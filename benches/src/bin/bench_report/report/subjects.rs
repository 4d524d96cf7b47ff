//! Who is who among the subjects: names that the targets ask for, and which of two kinds those have
//! that make their getters wait.

/// This pool, through the thread-local.
pub(crate) const OURS: &str = "ours";
/// This pool, through a thread's own handle.
pub(crate) const BY_HANDLE: &str = "ours, by handle";
/// What no pool can be faster than: it bounds nothing, and serves one thread.
pub(crate) const BARE_ARRAY: &str = "bare thread-local array";
/// What objects travel through in `remote`, without a pool at either end.
const RING_ALONE: &str = "the ring alone";
/// What the loop over spans takes where there is nothing to take them from.
const HARNESS_ALONE: &str = "the harness alone";
/// What each page costs that is moved, if nobody has to be asked.
pub(crate) const COPY_AND_MMAP: &str = "copy + mmap";
/// The half of it that is no system call.
const COPY_ALONE: &str = "copy alone";
/// What the name of a peer ends with that is measured without the lock that it needs to be shared.
const NO_LOCK: &str = ", no lock";
pub(crate) const MMAP: &str = "mmap + munmap";
pub(crate) const MIMALLOC: &str = "mimalloc";
pub(crate) const ARRAY_QUEUE: &str = "ArrayQueue";

/// Whoever comes first takes what was put: fast, and starves.
pub(crate) const BARGING: [&str; 3] =
    ["std mutex + condvar", "parking_lot mutex + condvar", "crossbeam-channel"];
/// Whoever waits longest is handed what was put: fair, and slow.
pub(crate) const FAIR: [&str; 2] = ["strict hand-off", "deadpool unmanaged"];

/// Whether this is this workspace's pool, in whichever way it is called.
pub(crate) fn is_ours(subject: &str) -> bool {
    subject.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

/// Whether this is there to show what no pool, or no arena, can be faster than.
pub(crate) fn is_limit(subject: &str) -> bool {
    [BARE_ARRAY, RING_ALONE, HARNESS_ALONE, COPY_AND_MMAP, COPY_ALONE].contains(&subject)
        || subject.ends_with(NO_LOCK)
}

/// Whether this is somebody else's, and does what a pool or an arena does.
pub(crate) fn is_peer(subject: &str) -> bool {
    !is_ours(subject) && !is_limit(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_told_by_the_first_word() {
        assert!(is_ours(OURS) && is_ours(BY_HANDLE));
        assert!(!is_ours("ourselves") && !is_ours(MIMALLOC));
        assert!(is_peer(MIMALLOC) && !is_peer(OURS) && !is_peer(BARE_ARRAY) && !is_peer(RING_ALONE));
        assert!(!is_peer(COPY_AND_MMAP) && !is_peer(COPY_ALONE));
        assert!(is_peer("rlsf") && !is_peer("rlsf, no lock") && !is_peer(HARNESS_ALONE));
    }
}
