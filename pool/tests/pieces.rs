//! Buffers of pieces: how they get them, what goes in and out, and that all come back.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::io::{BufRead, Cursor, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use pool::pieces::{GrowError, IntoBuf, PieceBuf};
use pool::{Awaited, GetError, RawPool, TryGetError};
use proptest::prelude::*;
use static_assertions::assert_impl_all;

#[macro_use]
mod support;
use support::*;

assert_impl_all!(PieceBuf: Send, Sync, Read, BufRead, Write, Seek);
assert_impl_all!(IntoBuf: Send, Sync, Read, BufRead);

/// One page of `items` pieces of `bytes` bytes.
fn small(bytes: usize, items: u32, arena: &kva::Arena) -> RawPool {
    let item = Layout::from_size_align(bytes, 1).unwrap();
    RawPool::builder(item, 1).items_per_page(items).build(arena.clone()).unwrap()
}

fn all_of(buf: &PieceBuf) -> Vec<u8> {
    buf.chunks().flatten().copied().collect()
}

/// Leaves `byte` in all of the pool's memory that is not out.
fn soil(pool: &RawPool, byte: u8) {
    let size = pool.item_layout().size();
    let all: Vec<_> = std::iter::from_fn(|| pool.try_get().ok()).collect();
    for item in &all {
        // SAFETY: the item is ours and so long, until it is put.
        unsafe { item.write_bytes(byte, size) };
    }
    put_all(pool, all);
}

#[test]
fn it_grows_and_shrinks_piece_by_piece() {
    let arena = arena(1);
    let pool = small(8, 4, &arena);
    let mut buf = PieceBuf::new(&pool);
    assert_eq!((buf.pieces(), buf.capacity(), buf.piece_size(), pool.stats().out), (0, 0, 8, 0));
    for (bytes, pieces) in [(3, 1), (5, 1), (1, 2), (16, 4)] {
        buf.write_all(&vec![1; bytes]).unwrap();
        assert_eq!((buf.pieces(), pool.stats().out), (pieces, pieces), "after {bytes} more");
    }
    assert_eq!((buf.len(), buf.capacity(), buf.spare()), (25, 32, 7));
    buf.truncate(17);
    assert_eq!((buf.len(), pool.stats().out), (17, 4));
    buf.shrink_to_fit();
    assert_eq!((buf.pieces(), pool.stats().out), (3, 3));
    buf.truncate(16);
    buf.shrink_to_fit();
    assert_eq!(pool.stats().out, 2);
    buf.clear();
    assert_eq!((buf.len(), buf.position(), buf.pieces()), (0, 0, 2));
    buf.shrink_to_fit();
    assert_eq!((buf.pieces(), pool.stats().out), (0, 0));
    drop(buf);
    assert_rests(&pool, &arena);
}

#[test]
fn all_or_nothing_waits_with_nothing_in_hand() {
    let arena = arena(1);
    let pool = small(8, 3, &arena);
    let (one, other) = (pool.get().unwrap(), pool.get().unwrap());
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let getter = scope.spawn(|| PieceBuf::with_capacity(&pool, 17).unwrap());
        until_waiting(&pool, 1);
        assert_eq!((pool.stats().out, pool.stats().idle), (2, 1), "it holds nothing");
        put(&pool, one).unwrap();
        assert_eq!((pool.stats().waiting, pool.stats().out), (1, 1), "nor two of three");
        put(&pool, other).unwrap();
        let buf = getter.join().unwrap();
        assert_eq!((buf.pieces(), buf.capacity(), buf.len()), (3, 24, 0));
    });
    assert_rests(&pool, &arena);
}

#[test]
fn what_can_never_be_had_is_said_at_once() {
    let arena = arena(1);
    let pool = small(8, 3, &arena);
    assert_is!(PieceBuf::with_capacity(&pool, 25), Err(GetError::TooMany { asked: 4, most: 3 }));
    assert_is!(PieceBuf::try_with_capacity(&pool, usize::MAX), Err(TryGetError::TooMany { .. }));
    let mut buf = PieceBuf::with_capacity(&pool, 16).unwrap();
    for bytes in [25, usize::MAX] {
        let error = buf.try_reserve(bytes).unwrap_err();
        let why = assert_too_many(&error);
        assert_eq!((why, error.kind()), (2, ErrorKind::QuotaExceeded));
    }
    buf.grow().unwrap();
    let error = buf.grow().unwrap_err();
    assert_eq!((assert_too_many(&error), error.kind()), (3, ErrorKind::QuotaExceeded));
    assert_eq!(pool.stats().failures.too_many, 4);
    assert_eq!(PieceBuf::with_capacity(&pool, 0).unwrap().pieces(), 0);
    assert_eq!(
        error.to_string(),
        "1 pieces beside the 3 that are held: 4 items: this getter can have 3 at most"
    );
}

/// How many were held.
fn assert_too_many<E: std::fmt::Debug>(error: &GrowError<E>) -> usize {
    match error {
        GrowError::NotNow { held, why: TryGetError::TooMany { most: 3, .. }, .. } => *held,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_piece_is_waited_for_and_no_other() {
    let arena = arena(1);
    let pool = small(8, 2, &arena);
    let both = get_all(&pool);
    let waited = pool.stats().waits.served;
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let writer = scope.spawn(|| {
            let mut buf = PieceBuf::new(&pool);
            // A short write first, and then an error: what is written stays.
            assert_eq!(buf.write(b"more than one").unwrap(), 8);
            let error = buf.write(b"than one").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let grow = error.get_ref().unwrap().downcast_ref::<GrowError<kva::AllocError>>().unwrap();
            assert_is!(grow, GrowError::NotNow { held: 1, wanted: 1, why: TryGetError::Exhausted });
            buf
        });
        until_waiting(&pool, 1);
        put(&pool, both[0]).unwrap();
        let mut buf = writer.join().unwrap();
        assert_eq!(all_of(&buf), b"more tha");
        assert_is!(buf.try_reserve(1), Err(GrowError::NotNow { held: 1, wanted: 1, .. }));
        assert_is!(buf.try_extend_from_slice(b"n"), Err(GrowError::NotNow { .. }));
        put(&pool, both[1]).unwrap();
        buf.write_all(b"n one").unwrap();
        assert_eq!(all_of(&buf), b"more than one");
        assert_eq!(pool.stats().waits.served, waited + 1);
    });
    assert_rests(&pool, &arena);
}

#[test]
fn those_that_try_wait_for_nothing() {
    let arena = arena(1);
    let pool = small(8, 2, &arena);
    let one = pool.get().unwrap();
    assert_is!(PieceBuf::try_with_capacity(&pool, 9), Err(TryGetError::Exhausted));
    assert_eq!(pool.stats().out, 1, "all or nothing");
    let mut buf = PieceBuf::new(&pool);
    assert_is!(buf.try_reserve(9), Err(GrowError::NotNow { held: 0, wanted: 2, .. }));
    assert_eq!((buf.pieces(), pool.stats().out), (0, 1));
    buf.try_reserve(8).unwrap();
    put(&pool, one).unwrap();
    drop(buf);
    assert_eq!(PieceBuf::try_with_capacity(&pool, 9).unwrap().pieces(), 2);
    assert_rests(&pool, &arena);
}

#[test]
fn a_request_says_who_and_until_when() {
    let arena = arena(1);
    let item = Layout::from_size_align(8, 1).unwrap();
    let pool = RawPool::builder(item, 1).items_per_page(3).critical_reserve(1).build(arena.clone()).unwrap();
    let buf = pool.request().get_pieces(16).unwrap();
    let late = pool.request().timeout(Duration::from_millis(1)).get_pieces(16);
    assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));
    assert_is!(pool.request().try_get_pieces(8), Err(TryGetError::Exhausted));
    let root = pool.request().critical().try_get_pieces(8).unwrap();
    drop((buf, root));
    assert_eq!(pool.request().critical().get_pieces(24).unwrap().pieces(), 3);
    assert_adds_up(&pool, 0);
}

#[test]
fn a_task_gets_all_or_nothing_and_may_leave() {
    let arena = arena(1);
    let pool = small(8, 2, &arena);
    let one = pool.get().unwrap();
    let (task, _) = Task::new();
    let mut leaves = Box::pin(pool.request().get_pieces_async(16));
    assert!(task.poll(leaves.as_mut()).is_pending());
    let mut stays = pin!(pool.request().get_pieces_async(16));
    assert!(task.poll(stays.as_mut()).is_pending());
    drop(leaves);
    put(&pool, one).unwrap();
    let Poll::Ready(Ok(buf)) = task.poll(stays.as_mut()) else { panic!("both are there") };
    assert_eq!(buf.pieces(), 2);
    assert_is!(wait_for(pool.request().get_pieces_async(17)), Err(GetError::TooMany { .. }));
    assert!(wait_for(pool.request().get_pieces_async(0)).unwrap().is_empty());
    drop(buf);
    assert_rests(&pool, &arena);
}

#[test]
fn of_a_closed_pool_what_is_held_stays_good() {
    let arena = arena(2);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let mut buf = PieceBuf::with_capacity(&pool, QUANTUM).unwrap();
    pool.close();
    assert_eq!(buf.write(&[7; QUANTUM + 1]).unwrap(), QUANTUM);
    assert_eq!(buf.write(&[7]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(PieceBuf::new(&pool).write(&[7]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_is!(PieceBuf::with_capacity(&pool, 1), Err(GetError::Closed));
    assert_eq!(all_of(&buf), [7; QUANTUM]);
    drop(buf);
    assert_whole(&arena);
}

#[test]
fn a_buffer_keeps_its_pool_open() {
    let arena = arena(2);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let mut buf = PieceBuf::new(&pool);
    drop(pool);
    buf.write_all(&[1; 2 * QUANTUM]).unwrap();
    assert_eq!(buf.pool().stats().out, 2);
    drop(buf);
    assert_whole(&arena);
}

/// A waker that panics, of a task that waits for several: the pieces after it go back as well.
#[test]
fn pieces_go_back_whatever_panics() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: kva::sync::Arc<Self>) {
            panic!("of a waker");
        }
    }
    let arena = arena(1);
    let pool = small(8, 3, &arena);
    let buf = PieceBuf::with_capacity(&pool, 24).unwrap();
    let waker = kva::sync::Arc::new(Panics).into();
    let mut waiting = Box::pin(pool.get_async());
    assert!(waiting.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    assert!(panics(|| drop(buf)));
    assert_eq!(pool.stats().idle, 2, "all but the one that was served");
    drop(waiting);

    // And when a buffer dies by somebody else's panic.
    assert!(panics(|| {
        let mut buf = PieceBuf::new(&pool);
        buf.write_all(&[1; 20]).unwrap();
        panic!("with a buffer in hand");
    }));
    assert_rests(&pool, &arena);
}

#[test]
fn what_needs_one_run_has_it_copied_out_once() {
    let arena = arena(1);
    let pool = small(8, 3, &arena);
    let mut buf = PieceBuf::new(&pool);
    assert_eq!(buf.as_contiguous(), Some(&b""[..]));
    buf.write_all(b"in a run").unwrap();
    assert_eq!(buf.as_contiguous(), Some(&b"in a run"[..]));
    buf.write_all(b"?").unwrap();
    assert_eq!(buf.as_contiguous(), None);

    let mut run = [0xFF; 12];
    assert_eq!(buf.copy_to_slice(&mut run), b"in a run?");
    assert_eq!(&run, b"in a run?\xFF\xFF\xFF");
    let mut run = [MaybeUninit::uninit(); 9];
    let copied = buf.copy_out(&mut run);
    copied.make_ascii_uppercase();
    assert_eq!(copied, b"IN A RUN?");
    let mut vec = Vec::with_capacity(20);
    assert_eq!(buf.copy_out(vec.spare_capacity_mut()).len(), 9);
    // SAFETY: so many have been copied.
    unsafe { vec.set_len(9) };
    assert_eq!(vec, b"in a run?");
    assert!(panics(|| buf.copy_to_slice(&mut [0; 8]).len()));
    assert!(panics(|| buf.copy_out(&mut [MaybeUninit::uninit(); 8]).len()));
    for chunk in buf.chunks_mut() {
        chunk.reverse();
    }
    assert_eq!(all_of(&buf), b"nur a ni?");
}

/// What is lent to be read into is never what others left: it is zeroed, once.
#[test]
fn what_others_left_is_never_seen() {
    let arena = arena(1);
    let pool = small(8, 2, &arena);
    soil(&pool, 0xAA);
    let mut buf = PieceBuf::with_capacity(&pool, 16).unwrap();
    buf.write_all(b"mine").unwrap();
    let lent = |buf: &mut PieceBuf, most| -> Vec<u8> {
        buf.spare_io_slices_mut(most).flat_map(|slice| slice.to_vec()).collect()
    };
    assert_eq!(lent(&mut buf, 3), [0; 3]);
    assert_eq!(lent(&mut buf, usize::MAX), [0; 12]);
    for mut slice in buf.spare_io_slices_mut(6) {
        slice.fill(0xBB);
    }
    buf.commit(2);
    assert_eq!(all_of(&buf), b"mine\xBB\xBB");
    assert_eq!(lent(&mut buf, 5), [0xBB, 0xBB, 0xBB, 0xBB, 0], "its own it may see; it is not zeroed again");
    assert!(panics(|| buf.commit(11)));
    assert_eq!(buf.len(), 6);

    // What was lent as uninitialised may be so.
    let spare: Vec<_> = buf.spare_capacity_mut().map(|spare| spare.len()).collect();
    assert_eq!(spare, [2, 8]);
    assert!(panics(|| buf.commit(1)));
    assert_eq!(lent(&mut buf, 5), [0; 5]);
    for spare in buf.spare_capacity_mut() {
        spare.fill(MaybeUninit::new(0xCC));
    }
    // SAFETY: all has been written.
    unsafe { buf.set_len(16) };
    assert_eq!(all_of(&buf)[4..], *b"\xBB\xBB\xCC\xCC\xCC\xCC\xCC\xCC\xCC\xCC\xCC\xCC");

    // Nor in a gap, nor in a piece that went and came back.
    buf.truncate(3);
    buf.set_position(10);
    buf.write_all(b"!").unwrap();
    assert_eq!(all_of(&buf), b"min\0\0\0\0\0\0\0!");
    buf.truncate(8);
    buf.shrink_to_fit();
    soil(&pool, 0xDD);
    buf.grow().unwrap();
    assert_eq!(lent(&mut buf, 8), [0; 8]);
}

#[test]
fn a_position_may_be_anywhere_but_before_the_beginning() {
    let arena = arena(1);
    let pool = small(8, 3, &arena);
    let mut buf = PieceBuf::new(&pool);
    buf.write_all(b"0123456789").unwrap();
    assert_eq!(buf.seek(SeekFrom::End(-3)).unwrap(), 7);
    assert_eq!(buf.remaining(), 3);
    for nowhere in [SeekFrom::Current(-8), SeekFrom::End(-11), SeekFrom::Current(i64::MIN)] {
        assert_eq!(buf.seek(nowhere).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(buf.position(), 7);
    buf.set_position(u64::MAX);
    assert_eq!(buf.seek(SeekFrom::Current(1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!((buf.read(&mut [0; 4]).unwrap(), buf.remaining()), (0, 0));
    buf.consume(1);
    assert_eq!(buf.position(), u64::MAX);
    // A gap that is never to be had takes nothing while it fails, nor does one that is not now.
    assert_eq!(buf.write(b"!").unwrap_err().kind(), ErrorKind::QuotaExceeded);
    buf.set_position(24);
    assert_eq!(buf.write(b"!").unwrap_err().kind(), ErrorKind::QuotaExceeded);
    let other = pool.get().unwrap();
    buf.set_position(16);
    assert_eq!(buf.write(b"!").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!((buf.len(), buf.pieces(), buf.position()), (10, 2, 16));
    let mut empty = PieceBuf::new(&pool);
    put(&pool, other).unwrap();
    empty.set_position(8);
    assert_eq!(empty.write(b"!").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!((empty.pieces(), pool.stats().out), (0, 2), "its first went back");
    buf.write_all(b"!").unwrap();
    assert_eq!(all_of(&buf), b"0123456789\0\0\0\0\0\0!");
}

#[test]
fn what_is_read_for_good_gives_its_pieces_back() {
    let arena = arena(1);
    let pool = small(4, 6, &arena);
    let mut buf = PieceBuf::with_capacity(&pool, 24).unwrap();
    buf.write_all(b"0123456789abcdefg").unwrap();
    buf.set_position(5);
    let mut rest = buf.into_buf();
    assert_eq!((rest.remaining(), rest.pieces(), pool.stats().out), (12, 4, 4), "5 to g");
    assert_eq!(rest.fill_buf().unwrap(), b"567");
    rest.consume(2);
    assert_eq!(pool.stats().out, 4);
    rest.consume(1);
    assert_eq!(pool.stats().out, 3);
    let mut read = [0; 6];
    rest.read_exact(&mut read).unwrap();
    assert_eq!((&read, pool.stats().out), (b"89abcd", 2));
    assert!(panics(|| rest.skip(4)));
    let mut last = String::new();
    rest.read_to_string(&mut last).unwrap();
    assert_eq!((&*last, rest.remaining(), pool.stats().out), ("efg", 0, 0));
    assert_eq!((rest.read(&mut read).unwrap(), rest.fill_buf().unwrap().len()), (0, 0));

    let mut buf = PieceBuf::new(&pool);
    buf.write_all(b"01234").unwrap();
    buf.set_position(9);
    assert_eq!((buf.into_buf().remaining(), pool.stats().out), (0, 0));
    drop(PieceBuf::with_capacity(&pool, 5).unwrap().into_buf());
    assert_rests(&pool, &arena);
}

/// Whoever waits is served by a piece that was read, while the rest is still being read.
#[test]
fn a_piece_that_was_read_serves_who_waits() {
    let arena = arena(1);
    let pool = small(4, 2, &arena);
    let mut buf = PieceBuf::new(&pool);
    buf.write_all(b"12345678").unwrap();
    let mut rest = {
        buf.set_position(0);
        buf.into_buf()
    };
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until_waiting(&pool, 1);
        rest.skip(4);
        getter.join().unwrap();
    });
    assert_eq!(rest.fill_buf().unwrap(), b"5678");
    drop(rest);
    assert_rests(&pool, &arena);
}

/// Fewer than any two of the buffers below want.
const PIECES: usize = 5;

/// Fills a buffer of a length that `seed` says, and looks at it. Whether it had to begin again.
fn send(pool: &RawPool, thread: usize, seed: usize) -> bool {
    let bytes = 8 * (3 + seed % (PIECES - 2));
    let mut buf = PieceBuf::new(pool);
    let mut again = false;
    while buf.len() < bytes {
        if seed.is_multiple_of(3) && buf.capacity() == 0 {
            buf = PieceBuf::with_capacity(pool, bytes).unwrap();
        }
        match buf.write(&vec![thread as u8; bytes - buf.len()]) {
            Ok(written) => {
                assert!(written > 0);
                thread::yield_now(); // the more likely to be in somebody's way
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                again = true;
                drop(buf);
                buf = PieceBuf::with_capacity(pool, bytes).unwrap();
            }
        }
    }
    assert!(all_of(&buf).iter().all(|byte| usize::from(*byte) == thread));
    again
}

/// Buffers that come as they go, and those that are all or nothing, over too few pieces for any
/// two of them: there is no timeout here, so that the test ends is what is tested.
#[test]
fn buffers_that_want_more_than_there_is_always_end() {
    const THREADS: usize = 6;
    let arena = arena(1);
    let pool = small(8, PIECES as u32, &arena);
    let failed: usize = thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let all: Vec<_> = (0..THREADS)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || (0..300).filter(|round| send(pool, thread, thread + round)).count())
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(failed > 0, "they were never in each other's way");
    let stats = pool.stats();
    assert!(stats.waits.served > 0 && stats.waiting == 0, "{stats:?}");
    assert_rests(&pool, &arena);
}

#[derive(Debug, Clone)]
enum Op {
    Write(Vec<u8>),
    WriteVectored(Vec<Vec<u8>>),
    Extend(Vec<u8>),
    Commit(Vec<u8>),
    Change(usize),
    Read(usize),
    ReadVectored(Vec<usize>),
    ReadToEnd,
    Consume(usize),
    Seek(SeekFrom),
    Truncate(usize),
    Clear,
    Shrink,
    Grow,
    Reserve(usize),
    Uninit,
    IntoBuf(Vec<usize>),
    OthersGet,
    OthersPut,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let seek = prop_oneof![
        (0..40_u64).prop_map(SeekFrom::Start),
        (-20..10_i64).prop_map(SeekFrom::End),
        (-20..10_i64).prop_map(SeekFrom::Current),
    ];
    prop_oneof![
        4 => bytes().prop_map(Op::Write),
        2 => prop::collection::vec(bytes(), 0..4).prop_map(Op::WriteVectored),
        2 => bytes().prop_map(Op::Extend),
        2 => bytes().prop_map(Op::Commit),
        1 => (0..40_usize).prop_map(Op::Change),
        2 => (0..20_usize).prop_map(Op::Read),
        1 => prop::collection::vec(0..12_usize, 0..4).prop_map(Op::ReadVectored),
        1 => Just(Op::ReadToEnd),
        2 => (0..20_usize).prop_map(Op::Consume),
        4 => seek.prop_map(Op::Seek),
        1 => (0..40_usize).prop_map(Op::Truncate),
        1 => Just(Op::Clear),
        1 => Just(Op::Shrink),
        1 => Just(Op::Grow),
        1 => (0..40_usize).prop_map(Op::Reserve),
        1 => Just(Op::Uninit),
        1 => prop::collection::vec(0..12_usize, 0..6).prop_map(Op::IntoBuf),
        2 => Just(Op::OthersGet),
        2 => Just(Op::OthersPut),
    ]
}

/// What a buffer should be: a cursor over a vector, and how many pieces it holds of so many.
struct Naive {
    cursor: Cursor<Vec<u8>>,
    size: usize,
    held: usize,
    others: usize,
    limit: usize,
}

impl Naive {
    fn len(&self) -> usize {
        self.cursor.get_ref().len()
    }

    fn free(&self) -> usize {
        self.limit - self.held - self.others
    }

    fn would_wait(&self) -> bool {
        self.held == 0 && self.free() == 0
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let at = self.cursor.position() as usize;
        let most = (self.held + self.free()) * self.size;
        if most <= at {
            let never = at / self.size + 1 > self.limit;
            return Err(if never { ErrorKind::QuotaExceeded } else { ErrorKind::WouldBlock });
        }
        let end = most.min(at + bytes.len());
        self.held = self.held.max(end.div_ceil(self.size));
        Ok(self.cursor.write(&bytes[..end - at]).unwrap())
    }

    /// Whether there are pieces for so many bytes, all or none.
    fn reserve(&mut self, bytes: usize) -> Result<(), ErrorKind> {
        let pieces = (self.len() + bytes).div_ceil(self.size);
        if pieces <= self.held + self.free() {
            self.held = self.held.max(pieces);
            return Ok(());
        }
        Err(if pieces > self.limit { ErrorKind::QuotaExceeded } else { ErrorKind::WouldBlock })
    }
}

proptest! {
    #[test]
    fn agrees_with_a_cursor(
        size in 1_usize..12,
        limit in 1_u32..7,
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let arena = arena(1);
        let pool = small(size, limit, &arena);
        soil(&pool, 0xEE);
        let mut buf = PieceBuf::new(&pool);
        let mut others = Vec::new();
        let cursor = Cursor::new(Vec::new());
        let mut naive = Naive { cursor, size, held: 0, others: 0, limit: limit as usize };
        for op in ops {
            match op {
                Op::Write(_) | Op::WriteVectored(_) | Op::Grow if naive.would_wait() => {}
                Op::Write(bytes) => {
                    let written = buf.write(&bytes).map_err(|error| error.kind());
                    prop_assert_eq!(written, naive.write(&bytes));
                }
                Op::WriteVectored(all) => {
                    let slices: Vec<_> = all.iter().map(|bytes| IoSlice::new(bytes)).collect();
                    let written = buf.write_vectored(&slices).map_err(|error| error.kind());
                    prop_assert_eq!(written, naive.write(&all.concat()));
                }
                Op::Extend(bytes) => {
                    let extended = buf.try_extend_from_slice(&bytes).map_err(|error| error.kind());
                    prop_assert_eq!(extended, naive.reserve(bytes.len()));
                    if extended.is_ok() {
                        naive.cursor.get_mut().extend(bytes);
                    }
                }
                Op::Commit(bytes) => {
                    let mut left = &bytes[..];
                    let mut read = 0;
                    for mut slice in buf.spare_io_slices_mut(bytes.len()) {
                        read += left.read(&mut slice).unwrap();
                    }
                    prop_assert_eq!(read, bytes.len().min(naive.held * size - naive.len()));
                    buf.commit(read);
                    naive.cursor.get_mut().extend(&bytes[..read]);
                }
                Op::Change(at) => {
                    if let Some(byte) = buf.chunks_mut().flatten().nth(at) {
                        *byte = !*byte;
                        naive.cursor.get_mut()[at] = *byte;
                    }
                }
                Op::Read(bytes) => {
                    let (mut ours, mut theirs) = (vec![0; bytes], vec![0; bytes]);
                    let read = (buf.read(&mut ours).unwrap(), naive.cursor.read(&mut theirs).unwrap());
                    prop_assert_eq!((read.0, ours), (read.1, theirs));
                }
                Op::ReadVectored(lengths) => {
                    let read = |from: &mut dyn Read| {
                        let mut all: Vec<_> = lengths.iter().map(|bytes| vec![0; *bytes]).collect();
                        let mut slices: Vec<_> = all.iter_mut().map(|place| IoSliceMut::new(place)).collect();
                        (from.read_vectored(&mut slices).unwrap(), all)
                    };
                    prop_assert_eq!(read(&mut buf), read(&mut naive.cursor));
                }
                Op::ReadToEnd => {
                    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                    buf.read_to_end(&mut ours).unwrap();
                    naive.cursor.read_to_end(&mut theirs).unwrap();
                    prop_assert_eq!(ours, theirs);
                }
                Op::Consume(bytes) => {
                    let chunk = buf.fill_buf().unwrap();
                    let all = naive.cursor.fill_buf().unwrap();
                    prop_assert!(all.starts_with(chunk) && chunk.is_empty() == all.is_empty());
                    let bytes = bytes.min(chunk.len());
                    buf.consume(bytes);
                    naive.cursor.consume(bytes);
                }
                Op::Seek(to) => {
                    let (ours, theirs) = (buf.seek(to), naive.cursor.seek(to));
                    prop_assert_eq!(ours.map_err(|error| error.kind()), theirs.map_err(|error| error.kind()));
                }
                Op::Truncate(len) => {
                    buf.truncate(len);
                    naive.cursor.get_mut().truncate(len);
                }
                Op::Clear => {
                    buf.clear();
                    naive.cursor = Cursor::new(Vec::new());
                }
                Op::Shrink => {
                    buf.shrink_to_fit();
                    naive.held = naive.len().div_ceil(size);
                }
                Op::Grow => {
                    prop_assert_eq!(buf.grow().is_ok(), naive.free() > 0);
                    naive.held += usize::from(naive.free() > 0);
                }
                Op::Reserve(bytes) => {
                    let reserved = buf.try_reserve(bytes).map_err(|error| error.kind());
                    prop_assert_eq!(reserved, naive.reserve(bytes));
                }
                Op::Uninit => {
                    let spare: usize = buf.spare_capacity_mut().map(|spare| spare.len()).sum();
                    prop_assert_eq!(spare, naive.held * size - naive.len());
                }
                Op::IntoBuf(skips) => {
                    let start = naive.len().min(naive.cursor.position() as usize);
                    let mut left = &naive.cursor.get_ref()[start..];
                    let mut end = start;
                    let mut rest = buf.into_buf();
                    for skip in skips {
                        prop_assert_eq!(rest.remaining(), left.len());
                        let held = if left.is_empty() { 0 } else { naive.len().div_ceil(size) - end / size };
                        prop_assert_eq!(rest.pieces(), held);
                        prop_assert!(left.starts_with(rest.fill_buf().unwrap()));
                        let mut ours = vec![0; skip];
                        let read = rest.read(&mut ours).unwrap();
                        prop_assert_eq!(&ours[..read], &left[..skip.min(left.len())]);
                        left = &left[read..];
                        end += read;
                    }
                    drop(rest);
                    buf = PieceBuf::new(&pool);
                    (naive.cursor, naive.held) = (Cursor::new(Vec::new()), 0);
                }
                Op::OthersGet => others.extend(pool.try_get().ok()),
                Op::OthersPut => put_all(&pool, others.pop()),
            }
            naive.others = others.len();
            prop_assert_eq!(&all_of(&buf), naive.cursor.get_ref());
            prop_assert_eq!(buf.position(), naive.cursor.position());
            let sizes = (buf.len(), buf.capacity(), buf.pieces());
            prop_assert_eq!(sizes, (naive.len(), naive.held * size, naive.held));
            prop_assert_eq!(pool.stats().out, naive.held + naive.others);
            prop_assert_eq!(buf.as_contiguous().is_some(), naive.len() <= size);
            let start = naive.len().min(naive.cursor.position() as usize);
            let slices: Vec<u8> = buf.io_slices().flat_map(|slice| slice.to_vec()).collect();
            prop_assert_eq!(&slices[..], &naive.cursor.get_ref()[start..]);
        }
        drop(buf);
        put_all(&pool, others);
        assert_rests(&pool, &arena);
    }
}
