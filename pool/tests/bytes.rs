//! Items as buffers, and as the memory of `Bytes`.

#![cfg(all(not(loom), feature = "bytes"))]

use std::alloc::Layout;
use std::io::Write;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use pool::{Awaited, Buffer, BufferFull, GetError, RawPool, TryGetError};
use proptest::prelude::*;
use static_assertions::assert_impl_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[macro_use]
mod support;
use support::*;

assert_impl_all!(Buffer: Send, Sync, BufMut, Write, AsRef<[u8]>, Into<Bytes>);

/// Buffers of `bytes` bytes, `items` to a page.
fn buffers(bytes: usize, items: u32, hard_limit: u32, arena: &kva::Arena) -> RawPool {
    let item = Layout::from_size_align(bytes, 1).unwrap();
    RawPool::builder(item, hard_limit).items_per_page(items).build(arena.clone()).unwrap()
}

#[test]
fn freezing_copies_nothing_and_the_last_of_it_puts_the_item_back() {
    let arena = arena(1);
    let pool = buffers(100, 2, 1, &arena);
    let mut buffer = pool.get_buffer().unwrap();
    buffer.try_extend_from_slice(b"hello, world").unwrap();
    let start = buffer.as_ptr();
    let whole = Bytes::from(buffer);
    assert_eq!((whole.as_ptr(), &whole[..]), (start, &b"hello, world"[..]));

    let clone = whole.clone();
    let mut slice = whole.slice(7..);
    let word = slice.split_to(2);
    for bytes in [whole, slice, clone] {
        drop(bytes);
        assert_eq!(pool.stats().out, 1);
    }
    assert_eq!(&word[..], b"wo");
    drop(word);
    assert_eq!(pool.stats().out, 0);

    drop(pool.get_buffer().unwrap().freeze());
    drop(pool.get_buffer().unwrap());
    assert_rests(&pool, &arena);
}

#[test]
fn what_is_frozen_is_within_the_bound() {
    let arena = arena(4);
    let pool = buffers(QUANTUM, 1, 2, &arena);
    let mut frozen: Vec<_> = (0..2).map(|_| pool.try_get_buffer().unwrap().freeze()).collect();
    assert_is!(pool.try_get_buffer(), Err(TryGetError::Exhausted));
    let timed_out = pool.request().timeout(Duration::from_millis(1)).get_buffer();
    assert_is!(timed_out, Err(GetError::TimedOut(Awaited::Put)));
    frozen.pop();
    drop(pool.try_get_buffer().unwrap());
    drop(frozen);
    assert_eq!(pool.stats().most_pages, 2);
    assert_rests(&pool, &arena);
}

#[test]
fn the_last_drop_on_another_thread_serves_who_waits() {
    let arena = arena(1);
    let pool = buffers(QUANTUM, 1, 1, &arena);
    let mut buffer = pool.get_buffer().unwrap();
    buffer.put_u64(7);
    let first = buffer.freeze();
    let second = first.clone();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.get_buffer().unwrap());
        until_waiting(&pool, 1);
        drop(first);
        assert_eq!(pool.stats().waiting, 1);
        scope.spawn(move || drop(second)).join().unwrap();
        assert!(getter.join().unwrap().is_empty());
    });
    assert_rests(&pool, &arena);
}

#[test]
fn a_full_buffer_takes_no_more_and_stays_as_it_is() {
    let arena = arena(1);
    let pool = buffers(8, 1, 1, &arena);
    let mut buffer = pool.get_buffer().unwrap();
    assert_eq!((buffer.capacity(), buffer.remaining_mut(), buffer.len()), (8, 8, 0));
    buffer.put_slice(b"12345");

    assert_eq!(buffer.try_extend_from_slice(b"6789"), Err(BufferFull { asked: 4, room: 3 }));
    assert!(panics(|| buffer.put_slice(b"6789")));
    assert!(panics(|| buffer.put_u32(6789)));
    // SAFETY: it panics.
    assert!(panics(|| unsafe { buffer.advance_mut(4) }));
    assert_eq!(&buffer[..], b"12345");

    assert_eq!(buffer.write(b"6789").unwrap(), 3);
    assert_eq!(buffer.write(b"9").unwrap(), 0);
    assert_eq!(buffer.write_all(b"9").unwrap_err().kind(), std::io::ErrorKind::WriteZero);
    assert!(!buffer.has_remaining_mut());
    assert_eq!(&buffer[..], b"12345678");
    assert_eq!(format!("{buffer:?}"), "b\"12345678\"");
    buffer.clear();
    buffer.write_all(b"again\n").unwrap();
    assert_eq!(format!("{buffer:?}"), r#"b"again\n""#);
}

/// What others left in an item is not seen, unless somebody says that it was written.
#[test]
fn a_buffer_is_empty_at_first() {
    let arena = arena(1);
    let pool = buffers(16, 1, 1, &arena);
    pool.get_buffer().unwrap().put_bytes(0xAA, 16);
    let mut buffer = pool.get_buffer().unwrap();
    assert_eq!((buffer.len(), buffer.spare_capacity_mut().len()), (0, 16));
    for (at, byte) in buffer.spare_capacity_mut()[..4].iter_mut().enumerate() {
        byte.write(at as u8);
    }
    // SAFETY: so many have just been written.
    unsafe { buffer.set_len(4) };
    assert_eq!(&buffer[..], [0, 1, 2, 3]);
    buffer.truncate(5);
    buffer.truncate(2);
    buffer.reverse();
    assert_eq!(buffer.as_ref(), [1, 0]);
    assert_eq!(buffer.spare_capacity_mut().len(), 14);
}

#[test]
fn tasks_wait_for_buffers_and_read_into_them() {
    async fn receive(pool: RawPool, mut from: impl AsyncReadExt + Unpin) -> Vec<Bytes> {
        let mut received = Vec::new();
        loop {
            let mut buffer = pool.get_buffer_async().await.unwrap();
            while buffer.has_remaining_mut() && from.read_buf(&mut buffer).await.unwrap() > 0 {}
            if buffer.is_empty() {
                return received;
            }
            received.push(buffer.freeze());
        }
    }
    let arena = arena(1);
    let pool = buffers(5, 4, 1, &arena);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let received = runtime.block_on(async {
        let (mut here, there) = tokio::io::duplex(3);
        let receiver = tokio::spawn(receive(pool.clone(), there));
        here.write_all(b"in pieces of 5").await.unwrap();
        drop(here);
        receiver.await.unwrap()
    });
    assert_eq!(received, ["in pi", "eces ", "of 5"]);
    assert_eq!(pool.stats().out, 3);
    drop(received);
    assert_rests(&pool, &arena);
}

#[test]
fn a_task_is_woken_by_the_last_drop() {
    let arena = arena(1);
    let pool = buffers(QUANTUM, 1, 1, &arena);
    let frozen = pool.get_buffer().unwrap().freeze();
    let clone = frozen.clone();
    let mut future = pin!(pool.get_buffer_async());
    let (task, _) = Task::new();
    assert!(task.poll(future.as_mut()).is_pending());
    drop(frozen);
    assert_eq!(task.woken(), 0);
    drop(clone);
    assert_eq!(task.woken(), 1);
    assert_is!(task.poll(future.as_mut()), Poll::Ready(Ok(_)));
    assert_rests(&pool, &arena);
}

#[test]
fn what_is_out_of_a_closed_pool_goes_back_all_the_same() {
    let arena = arena(2);
    let pool = buffers(QUANTUM, 1, 2, &arena);
    let mut buffer = pool.get_buffer().unwrap();
    let frozen = pool.get_buffer().unwrap().freeze();
    pool.close();
    assert_is!(pool.get_buffer(), Err(GetError::Closed));
    buffer.put_slice(b"still good");
    drop(frozen);
    assert_eq!(arena.stats().free, 1);
    let frozen = buffer.freeze();
    drop(pool);
    assert_eq!(&frozen[..], b"still good");
    drop(frozen);
    assert_whole(&arena);
}

/// A buffer keeps the memory, and the way back to it, also without handles.
#[test]
fn a_buffer_outlives_the_handles_and_the_arena() {
    let arena = arena(1);
    let pool = buffers(QUANTUM, 1, 1, &arena);
    let mut buffer = pool.get_buffer().unwrap();
    drop((pool, arena));
    buffer.put_bytes(1, QUANTUM);
    let frozen = thread::spawn(move || buffer.freeze()).join().unwrap();
    assert!(frozen.iter().all(|byte| *byte == 1));
}

#[test]
fn critical_ones_get_a_buffer_of_the_reserve() {
    let arena = arena(1);
    let item = Layout::new::<[u8; 8]>();
    let pool = RawPool::builder(item, 1).items_per_page(2).critical_reserve(1).build(arena).unwrap();
    let _ordinary = pool.get_buffer().unwrap();
    assert_is!(pool.try_get_buffer(), Err(TryGetError::Exhausted));
    let _root = pool.request().critical().try_get_buffer().unwrap();
}

#[derive(Debug, Clone)]
enum Op {
    Extend(Vec<u8>),
    Write(Vec<u8>),
    Truncate(usize),
    Clear,
    Change(usize),
    Again,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![
        bytes().prop_map(Op::Extend),
        bytes().prop_map(Op::Write),
        (0..40_usize).prop_map(Op::Truncate),
        Just(Op::Clear),
        (0..40_usize).prop_map(Op::Change),
        Just(Op::Again),
    ]
}

proptest! {
    /// A buffer beside a vector.
    #[test]
    fn agrees_with_a_vector(bytes in 1_usize..40, ops in prop::collection::vec(op(), 1..60)) {
        let arena = arena(1);
        let pool = buffers(bytes, 1, 1, &arena);
        let mut buffer = pool.get_buffer().unwrap();
        let mut naive = Vec::new();
        for op in ops {
            let room = bytes - naive.len();
            match op {
                Op::Extend(more) => {
                    let extended = buffer.try_extend_from_slice(&more);
                    prop_assert_eq!(extended.is_ok(), more.len() <= room);
                    if extended.is_ok() {
                        naive.extend(more);
                    }
                }
                Op::Write(more) => {
                    let written = buffer.write(&more).unwrap();
                    prop_assert_eq!(written, more.len().min(room));
                    naive.extend(&more[..written]);
                }
                Op::Truncate(len) => {
                    buffer.truncate(len);
                    naive.truncate(len);
                }
                Op::Clear => {
                    buffer.clear();
                    naive.clear();
                }
                Op::Change(at) => {
                    if let Some(byte) = buffer.get_mut(at) {
                        *byte = !*byte;
                        naive[at] = !naive[at];
                    }
                }
                Op::Again => {
                    prop_assert_eq!(&buffer.freeze()[..], &naive);
                    buffer = pool.get_buffer().unwrap();
                    naive.clear();
                }
            }
            prop_assert_eq!(&buffer[..], &naive);
            prop_assert_eq!(buffer.remaining_mut(), bytes - naive.len());
        }
    }
}
