//! Who is counted, and the ceilings.
//!
//! Each does what the bench `uncontended` does: one thread gets an object of 64 bytes, writes one byte
//! to it, and puts it back. Names are those of the benches.

use std::alloc::{GlobalAlloc, Layout};
use std::fmt;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crossbeam_queue::ArrayQueue;
use kva::{Arena, Region, Reserve};
use mimalloc::MiMalloc;
use pool::{Pool, RawPool};

/// One subject.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Does so many pairs.
    pub(crate) pairs: fn(u64),
    /// The most instructions that a pair may take. Of ours only.
    ///
    /// A ceiling is what was counted with the toolchain of `rust-version`, on x86-64 and in release,
    /// and a tenth more: another version of the compiler or of glibc moves a few instructions, and a
    /// lock, a fence or a call that is back on the path is more than that. Lower it when a
    /// change makes the path shorter. Raise it only for a change that needs the instructions, and
    /// say in its message what for.
    pub(crate) ceiling: Option<u32>,
}

/// All of them, in the order of the report.
pub(crate) static SUBJECTS: [Subject; 6] = [
    Subject { name: "ours", pairs: ours, ceiling: Some(75) },
    Subject { name: "ours, by handle", pairs: ours_by_handle, ceiling: Some(53) },
    Subject { name: "ours, raw", pairs: ours_raw, ceiling: Some(164) },
    Subject { name: "ours, raw by handle", pairs: ours_raw_by_handle, ceiling: Some(142) },
    Subject { name: "mimalloc", pairs: mimalloc, ceiling: None },
    Subject { name: "ArrayQueue", pairs: array_queue, ceiling: None },
];

/// What is in each object. Nobody knows what it is, so that it costs nothing to make.
type Block = [MaybeUninit<u8>; 64];

const BLOCK: Layout = Layout::new::<Block>();

/// Pages of a pool. One is enough; a pool of one would be at its limit, and scarce.
const PAGES: u32 = 16;

fn arena() -> Arena {
    let region = Region::reserve(PAGES as usize * 4096, Reserve::new()).expect("address space");
    Arena::new(region, 4096).expect("a good arena")
}

fn ours(pairs: u64) {
    let pool = pool();
    for _ in 0..pairs {
        let mut item = pool.get().expect("an object");
        touch(&mut item);
    }
}

fn ours_by_handle(pairs: u64) {
    let pool = pool();
    let local = pool.local();
    for _ in 0..pairs {
        let mut item = local.get().expect("an object");
        touch(&mut item);
    }
}

fn pool() -> Pool<Block> {
    Pool::builder(PAGES, || [const { MaybeUninit::uninit() }; 64]).build(arena()).expect("a good pool")
}

fn ours_raw(pairs: u64) {
    let pool = raw_pool();
    for _ in 0..pairs {
        let item = pool.get().expect("an item");
        // SAFETY: the item is ours until it is put.
        unsafe { touch_at(item) };
        // SAFETY: nobody uses it any more.
        unsafe { pool.put(item) }.expect("it is out");
    }
}

fn ours_raw_by_handle(pairs: u64) {
    let pool = raw_pool();
    let local = pool.local();
    for _ in 0..pairs {
        let item = local.get().expect("an item");
        // SAFETY: the item is ours until it is put.
        unsafe { touch_at(item) };
        // SAFETY: nobody uses it any more.
        unsafe { local.put(item) }.expect("it is out");
    }
}

fn raw_pool() -> RawPool {
    RawPool::builder(BLOCK, PAGES).build(arena()).expect("a good pool")
}

fn mimalloc(pairs: u64) {
    for _ in 0..pairs {
        // SAFETY: a block is not of size zero.
        let memory = NonNull::new(unsafe { MiMalloc.alloc(BLOCK) }).expect("memory");
        // SAFETY: it is ours until it is freed.
        unsafe { touch_at(memory) };
        // SAFETY: it was allocated here, with this layout.
        unsafe { MiMalloc.dealloc(memory.as_ptr(), BLOCK) };
    }
}

fn array_queue(pairs: u64) {
    let queue = ArrayQueue::new(64);
    for _ in 0..64 {
        let block: Box<Block> = Box::new([const { MaybeUninit::uninit() }; 64]);
        queue.push(block).expect("room");
    }
    for _ in 0..pairs {
        let mut block = queue.pop().expect("an object");
        touch(&mut block);
        queue.push(block).expect("room");
    }
}

/// Uses an object: writes one byte to it, where the optimiser does not see which.
fn touch(block: &mut Block) {
    black_box(&mut block[0]).write(1);
}

/// As [`touch`].
///
/// # Safety
/// `block` is good for a byte, and the caller's alone.
unsafe fn touch_at(block: NonNull<u8>) {
    // SAFETY: as the caller says.
    unsafe { black_box(block).write(1) };
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
