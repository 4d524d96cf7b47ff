//! Pieces that go to the kernel and come from it: files, pipes and sockets, more than fits, more than
//! one call takes, and signals in between.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write, pipe};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::thread::JoinHandleExt;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use pool::RawPool;
use pool::pieces::{GrowError, PieceBuf};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

#[macro_use]
mod support;
use support::*;

/// More than one call takes, and the last piece is not full.
const MANY: usize = 7 * 2500 + 3;

fn sevens(arena: &kva::Arena) -> RawPool {
    let item = Layout::from_size_align(7, 1).unwrap();
    RawPool::builder(item, 1).items_per_page(2600).build(arena.clone()).unwrap()
}

/// Bytes that tell where they are.
fn numbered(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(bytes).collect()
}

fn all_of(buf: &PieceBuf) -> Vec<u8> {
    buf.chunks().flatten().copied().collect()
}

fn file() -> File {
    memfd_create("pieces", MemfdFlags::CLOEXEC).unwrap().into()
}

#[test]
fn a_file_is_written_and_read_by_more_than_one_call() {
    let arena = arena(8);
    let pool = sevens(&arena);
    let message = numbered(MANY);
    let mut buf = PieceBuf::with_capacity(&pool, MANY).unwrap();
    buf.write_all(&message).unwrap();
    buf.set_position(5);
    let mut file = file();
    assert_eq!(buf.write_to(&file).unwrap(), MANY - 5);
    assert_eq!((buf.position(), buf.write_to(&file).unwrap()), (MANY as u64, 0));
    drop(buf);

    file.rewind().unwrap();
    let mut buf = PieceBuf::with_capacity(&pool, 0).unwrap();
    assert_eq!(buf.read_from(&file, 0).unwrap(), 0);
    // The second begins inside of a piece, and takes a full call's less what is in it.
    assert_eq!(buf.read_from(&file, 3).unwrap(), 3);
    assert_eq!(buf.read_from(&file, usize::MAX).unwrap(), 7 * 1024 - 3);
    assert_eq!(buf.pieces(), 1024, "no more than one call can fill");
    assert_eq!(buf.read_from(&file, usize::MAX).unwrap(), 7 * 1024);
    while buf.read_from(&file, 1000).unwrap() > 0 {}
    assert!(all_of(&buf) == message[5..]);
    assert_eq!(buf.position(), 0, "what is read is appended");
    drop(buf);
    assert_rests(&pool, &arena);
}

#[test]
fn what_was_written_of_what_is_read_once_is_back_while_the_rest_waits() {
    let arena = arena(8);
    let pool = sevens(&arena);
    let mut buf = PieceBuf::with_capacity(&pool, MANY).unwrap();
    buf.write_all(&numbered(MANY)).unwrap();
    buf.set_position(0);
    let mut rest = buf.into_buf();

    let (mut reader, writer) = pipe().unwrap();
    let room = rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let mut received = Vec::new();
    let written = rest.write_to(&writer).unwrap();
    assert!(0 < written && written <= room && rest.remaining() == MANY - written);
    assert_eq!(pool.stats().out, MANY.div_ceil(7) - written / 7);
    assert_eq!(rest.write_to(&writer).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(rest.remaining(), MANY - written);
    while rest.remaining() > 0 {
        let mut now = vec![0; room];
        let read = reader.read(&mut now).unwrap();
        received.extend(&now[..read]);
        rest.write_to(&writer).unwrap();
    }
    assert_eq!(rest.write_to(&writer).unwrap(), 0);
    drop(writer);
    reader.read_to_end(&mut received).unwrap();
    assert!(received == numbered(MANY));
    assert_rests(&pool, &arena);
}

#[test]
fn a_writer_that_would_block_goes_on_where_it_was() {
    let arena = arena(8);
    let pool = sevens(&arena);
    let mut buf = PieceBuf::new(&pool);
    buf.write_all(&numbered(MANY)).unwrap();
    buf.rewind().unwrap();
    let (mut here, there) = UnixStream::pair().unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&there, 4096).unwrap();
    there.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    while buf.remaining() > 0 {
        let before = buf.position();
        match buf.write_to(&there) {
            Ok(written) => assert_eq!(buf.position(), before + written as u64),
            Err(error) => {
                assert_eq!((error.kind(), buf.position()), (ErrorKind::WouldBlock, before));
                let mut now = [0; 1000];
                let read = here.read(&mut now).unwrap();
                received.extend(&now[..read]);
            }
        }
    }
    drop(there);
    here.read_to_end(&mut received).unwrap();
    assert!(received == numbered(MANY));
    assert_eq!(buf.pieces(), MANY.div_ceil(7), "it keeps its pieces");
}

#[test]
fn a_socket_that_has_less_or_nothing_or_is_closed() {
    let arena = arena(8);
    let pool = sevens(&arena);
    let mut buf = PieceBuf::with_capacity(&pool, 21).unwrap();
    let (mut here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    assert_eq!(buf.read_from(&there, 20).unwrap_err().kind(), ErrorKind::WouldBlock);
    here.write_all(b"ten bytes.").unwrap();
    assert_eq!(buf.read_from(&there, 8).unwrap(), 8);
    assert_eq!(buf.read_from(&there, 8).unwrap(), 2);
    drop(here);
    assert_eq!(buf.read_from(&there, 8).unwrap(), 0);
    assert_eq!(all_of(&buf), b"ten bytes.");
    assert_eq!(buf.write_to(&there).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!((buf.len(), buf.remaining()), (10, 10));
}

/// One message is one call, however many pieces it lies in.
#[test]
fn a_datagram_is_one_message() {
    let arena = arena(8);
    let pool = sevens(&arena);
    let (here, there) = UnixDatagram::pair().unwrap();
    let mut buf = PieceBuf::new(&pool);
    for message in [numbered(7000), numbered(3)] {
        buf.write_all(&message).unwrap();
        buf.rewind().unwrap();
        assert_eq!(buf.write_to(&here).unwrap(), message.len());
        buf.clear();
        assert_eq!(buf.read_from(&there, 7100).unwrap(), message.len());
        assert!(all_of(&buf) == message);
        buf.clear();
    }
}

#[test]
fn it_reads_what_there_is_room_for_and_loses_nothing() {
    let arena = arena(1);
    let pool = blocks(3).build(arena.clone()).unwrap(); // an arena of one
    let mut buf = PieceBuf::new(&pool);
    let mut file = file();
    file.write_all(&numbered(QUANTUM + 10)).unwrap();
    file.rewind().unwrap();
    assert_eq!(buf.read_from(&file, 2 * QUANTUM).unwrap(), QUANTUM);
    let error = buf.read_from(&file, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let grow = error.get_ref().unwrap().downcast_ref::<GrowError<kva::AllocError>>();
    assert_is!(grow, Some(GrowError::NotNow { held: 1, wanted: 1, why: pool::TryGetError::Scarce }));
    assert!(all_of(&buf) == numbered(QUANTUM));
    buf.clear();
    assert_eq!(buf.read_from(&file, 2 * QUANTUM).unwrap(), 10);
    assert!(all_of(&buf) == numbered(QUANTUM + 10)[QUANTUM..]);
    drop(buf);
    assert_rests(&pool, &arena);
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// Until it has been interrupted a few times.
fn interrupt<T>(thread: &thread::JoinHandle<T>) {
    let before = SIGNALS.load(SeqCst);
    while SIGNALS.load(SeqCst) < before + 20 {
        assert!(!thread.is_finished(), "a signal ended it");
        // SAFETY: the thread has not been joined.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
        thread::sleep(Duration::from_millis(1));
    }
}

/// Signals interrupt the calls, which are begun again: no error, and nothing twice.
#[test]
fn a_signal_is_no_error() {
    // SAFETY: all zeroes are a disposition: no flags (not `SA_RESTART`, that is) and an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does what a handler may, and nobody else uses the signal.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);

    let arena = arena(8);
    let pool = sevens(&arena);
    let (mut here, there) = UnixStream::pair().unwrap();
    let reader = {
        let (pool, there) = (pool.clone(), there.try_clone().unwrap());
        thread::spawn(move || {
            let mut buf = PieceBuf::new(&pool);
            let read = buf.read_from(there.as_fd(), 100);
            (read.unwrap(), all_of(&buf))
        })
    };
    interrupt(&reader);
    here.write_all(b"at last").unwrap();
    assert_eq!(reader.join().unwrap(), (7, b"at last".to_vec()));

    rustix::net::sockopt::set_socket_send_buffer_size(&there, 4096).unwrap();
    let writer = {
        let pool = pool.clone();
        thread::spawn(move || {
            let mut buf = PieceBuf::new(&pool);
            buf.write_all(&numbered(MANY)).unwrap();
            buf.rewind().unwrap();
            buf.write_to(&there).unwrap()
        })
    };
    interrupt(&writer);
    let mut received = Vec::new();
    here.read_to_end(&mut received).unwrap();
    assert_eq!(writer.join().unwrap(), MANY);
    assert!(received == numbered(MANY));
    assert_rests(&pool, &arena);
}
