//! Pieces as the crate `bytes` has buffers.

#![cfg(all(not(loom), feature = "bytes"))]

use std::alloc::Layout;
use std::io::{IoSlice, Write};

use bytes::{Buf, BufMut};
use pool::RawPool;
use pool::pieces::{IntoBuf, PieceBuf};
use static_assertions::assert_impl_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[macro_use]
mod support;
use support::*;

assert_impl_all!(PieceBuf: BufMut);
assert_impl_all!(IntoBuf: Buf);

fn small(bytes: usize, items: u32, arena: &kva::Arena) -> RawPool {
    let item = Layout::from_size_align(bytes, 1).unwrap();
    RawPool::builder(item, 1).items_per_page(items).build(arena.clone()).unwrap()
}

fn all_of(buf: &PieceBuf) -> Vec<u8> {
    buf.chunks().flatten().copied().collect()
}

#[test]
fn there_is_room_for_what_it_holds_and_no_more() {
    let arena = arena(1);
    let pool = small(4, 5, &arena);
    let mut buf = PieceBuf::new(&pool);
    assert_eq!((buf.remaining_mut(), buf.chunk_mut().len()), (0, 0));
    assert!(panics(|| buf.put_u8(1)));
    assert_eq!(pool.stats().out, 0, "it does not grow");
    buf.try_reserve(10).unwrap();
    assert_eq!((buf.remaining_mut(), buf.chunk_mut().len()), (12, 4));
    buf.put_slice(b"01");
    assert_eq!((buf.remaining_mut(), buf.chunk_mut().len()), (10, 2));
    buf.set_position(1);
    buf.put_u64(u64::from_be_bytes(*b"23456789"));
    assert_eq!((all_of(&buf), buf.position()), (b"0123456789".to_vec(), 1));
    assert!(panics(|| buf.put_slice(b"abc")));
    // SAFETY: it panics.
    assert!(panics(|| unsafe { buf.advance_mut(3) }));
    assert_eq!(all_of(&buf), b"0123456789");
    buf.put_bytes(b'!', 2);
    assert!(!buf.has_remaining_mut() && buf.chunk_mut().len() == 0);
    // And over what was written before.
    buf.truncate(3);
    buf.put_slice(b"ab");
    assert_eq!(all_of(&buf), b"012ab");
    buf.write_all(b"_").unwrap();
    assert_eq!(all_of(&buf), b"0_2ab");
    drop(buf);
    assert_rests(&pool, &arena);
}

#[test]
fn what_is_advanced_past_goes_back() {
    let arena = arena(1);
    let pool = small(4, 5, &arena);
    let mut buf = PieceBuf::with_capacity(&pool, 20).unwrap();
    buf.put_slice(b"0123456789abcdef");
    let mut rest = buf.into_buf();
    assert_eq!((Buf::remaining(&rest), rest.chunk(), pool.stats().out), (16, &b"0123"[..], 4));
    assert_eq!((rest.get_u8(), rest.chunk()), (b'0', &b"123"[..]));
    {
        let mut slices = [IoSlice::new(b"not touched"); 6];
        assert_eq!(rest.chunks_vectored(&mut slices[..2]), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"123"[..], &b"4567"[..]));
        assert_eq!(rest.chunks_vectored(&mut slices), 4);
        assert_eq!((&*slices[3], &*slices[4]), (&b"cdef"[..], &b"not touched"[..]));
        assert_eq!(rest.chunks_vectored(&mut []), 0);
    }
    // Across pieces.
    assert_eq!(rest.get_u64().to_be_bytes(), *b"12345678");
    assert_eq!((rest.chunk(), pool.stats().out), (&b"9ab"[..], 2));
    assert!(panics(|| rest.advance(8)));
    rest.advance(7);
    assert_eq!((rest.has_remaining(), rest.chunk().len(), pool.stats().out), (false, 0, 0));
    assert_rests(&pool, &arena);
}

/// A writer of tokio's takes it as it is, and its pieces serve those who read.
#[test]
fn a_network_writer_gives_pieces_back_as_it_goes() {
    let arena = arena(1);
    let pool = small(4, 4, &arena);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let received = runtime.block_on(async {
        let (mut here, mut there) = tokio::io::duplex(5);
        let sender = {
            let pool = pool.clone();
            async move {
                let mut buf = pool.request().get_pieces_async(16).await.unwrap();
                buf.put_slice(b"0123456789abcdef");
                here.write_all_buf(&mut buf.into_buf()).await.unwrap();
            }
        };
        let sender = tokio::spawn(sender);
        while pool.stats().out != 3 {
            tokio::task::yield_now().await;
        }
        let mut buf = PieceBuf::try_with_capacity(&pool, 4).unwrap();
        let mut received = Vec::new();
        while there.read_buf(&mut buf).await.unwrap() > 0 {
            received.extend(all_of(&buf));
            buf.clear();
        }
        sender.await.unwrap();
        received
    });
    assert_eq!(received, b"0123456789abcdef");
    assert_rests(&pool, &arena);
}
