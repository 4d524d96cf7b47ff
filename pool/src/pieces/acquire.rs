//! How a buffer gets its pieces: all or nothing, or as it goes. Nothing here waits while pieces are
//! held: `grow` waits if there are none, `get_pieces` before there is a buffer, and no other.

use std::panic::Location;

use super::piece::Pieces;
use super::{GrowError, PieceBuf};
use crate::backend::Backend;
use crate::error::{GetError, TryGetError};
use crate::raw::RawPool;
use crate::request::Request;
use crate::waiter::Class;

impl<B: Backend> PieceBuf<B> {
    /// An empty buffer with pieces for `bytes` bytes, waiting for all of them in one place in the
    /// line. With a deadline, critical, or as a future: [`Request::get_pieces`].
    ///
    /// # Errors
    /// As [`RawPool::get_many`]: in particular [`GetError::TooMany`], at once, for what is beyond
    /// the pool's limit.
    ///
    /// # Panics
    /// If the back-end does; the pool is as if this had not been.
    #[track_caller]
    pub fn with_capacity(pool: &RawPool<B>, bytes: usize) -> Result<Self, GetError<B::Error>> {
        pool.request().get_pieces(bytes)
    }

    /// As [`with_capacity`](Self::with_capacity), with pieces that can be had right now, or none.
    ///
    /// # Errors
    /// They can't be had now, and why.
    ///
    /// # Panics
    /// As [`with_capacity`](Self::with_capacity).
    #[track_caller]
    pub fn try_with_capacity(pool: &RawPool<B>, bytes: usize) -> Result<Self, TryGetError<B::Error>> {
        pool.request().try_get_pieces(bytes)
    }

    /// Takes one piece more. Waits for it if it holds none, and otherwise does not.
    ///
    /// # Errors
    /// There is none to be had, and why. The buffer is as it was.
    ///
    /// # Panics
    /// If the back-end does. The buffer is as it was.
    #[track_caller]
    pub fn grow(&mut self) -> Result<(), GrowError<B::Error>> {
        let held = self.pieces();
        let no_memory = |_| GrowError::NoMemory(held + 1);
        let item = if held == 0 {
            // Before it waits (P7).
            self.pieces.reserve_room(1).map_err(no_memory)?;
            self.pool().get().map_err(GrowError::First)?
        } else {
            self.pool().try_get().map_err(|why| self.not_now(1, why))?
        };
        self.pieces.push(item).map_err(no_memory)
    }

    /// Takes pieces until there is [room](Self::spare) for `bytes` bytes behind the contents, all or
    /// none. Never waits, not even for the first.
    ///
    /// # Errors
    /// They are not to be had now, and why. The buffer is as it was.
    ///
    /// # Panics
    /// As [`grow`](Self::grow).
    #[track_caller]
    pub fn try_reserve(&mut self, bytes: usize) -> Result<(), GrowError<B::Error>> {
        self.try_hold(self.len.saturating_add(bytes).div_ceil(self.piece_size()))
    }

    /// Holds so many pieces at least, or as many as it did.
    #[track_caller]
    fn try_hold(&mut self, pieces: usize) -> Result<(), GrowError<B::Error>> {
        let held = self.pieces();
        let wanted = pieces.saturating_sub(held);
        if wanted == 0 {
            return Ok(());
        }
        // Before the list, which might have no room for what is never to be had.
        let core = &self.pool().handle().core;
        let most = core.most(Class::Ordinary);
        if pieces > most {
            core.count_too_many();
            return Err(GrowError::NotNow {
                held,
                wanted,
                why: TryGetError::TooMany { asked: pieces, most },
            });
        }
        self.pieces.reserve_room(wanted).map_err(|_| GrowError::NoMemory(pieces))?;
        let now = self.pool().request().try_get_rounds(wanted, Location::caller());
        let now = now.map_err(|why| GrowError::NotNow { held, wanted, why })?;
        self.pieces.extend(now);
        Ok(())
    }

    /// Why there are no more pieces now; and if that is the limit, whether there ever will be.
    #[cold]
    fn not_now(&self, wanted: usize, why: TryGetError<B::Error>) -> GrowError<B::Error> {
        let held = self.pieces();
        let most = self.pool().handle().core.most(Class::Ordinary);
        let why = match why {
            TryGetError::Exhausted if held + wanted > most => {
                TryGetError::TooMany { asked: held + wanted, most }
            }
            why => why,
        };
        GrowError::NotNow { held, wanted, why }
    }

    /// For how many of `wanted` bytes from `start` on there is room, at least one, after growing
    /// as it goes. If it is none, no piece was taken.
    #[track_caller]
    pub(super) fn room_at(&mut self, start: usize, wanted: usize) -> Result<usize, GrowError<B::Error>> {
        debug_assert!(wanted > 0);
        let (held, end) = (self.pieces(), start.saturating_add(wanted));
        let grown = loop {
            if self.capacity() >= end {
                break Ok(());
            }
            let grown = if self.capacity() > start || self.pieces() == 0 {
                self.grow()
            } else {
                // What is before `start` is of no use without it.
                self.try_hold(start / self.piece_size() + 1)
            };
            if grown.is_err() {
                break grown;
            }
        };
        if self.capacity() <= start {
            self.keep(held);
            grown?;
        }
        Ok(self.capacity().min(end) - start)
    }
}

impl<'p, B: Backend> Request<'p, RawPool<B>> {
    fn pieces_for(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.pool.item_layout().size())
    }

    /// A [`PieceBuf`] with pieces for `bytes` bytes; see [`PieceBuf::with_capacity`]. They are got
    /// as this request says; those that it may grow by later are got as an ordinary one's.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// use pool::{GetError, RawPool};
    /// use std::alloc::Layout;
    /// use std::time::Duration;
    ///
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 3).build(arena)?;
    /// let first = pool.request().get_pieces(8192)?;
    /// let second = pool.request().timeout(Duration::from_millis(1)).get_pieces(8192);
    /// assert!(matches!(second, Err(GetError::TimedOut(_)))); // and holds nothing
    /// # drop(first);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_pieces(self, bytes: usize) -> Result<PieceBuf<B>, GetError<B::Error>> {
        let list = self.get_rounds(self.pieces_for(bytes), Location::caller())?;
        Ok(PieceBuf::of(Pieces::new(self.pool.clone(), list)))
    }

    /// A [`PieceBuf`] with pieces for `bytes` bytes, if they can be had right now; see
    /// [`PieceBuf::try_with_capacity`].
    ///
    /// # Errors
    /// They can't, and why.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn try_get_pieces(self, bytes: usize) -> Result<PieceBuf<B>, TryGetError<B::Error>> {
        let list = self.try_get_rounds(self.pieces_for(bytes), Location::caller())?;
        Ok(PieceBuf::of(Pieces::new(self.pool.clone(), list)))
    }

    /// As [`get_pieces`](Self::get_pieces), without blocking the thread. The list is allocated at
    /// once, and what can never be had is found at once; it may be dropped as
    /// [`get_async`](Self::get_async) may.
    ///
    /// A task that writes to the buffer then must not have it wait: with room for
    /// all, or with its first piece, no write of it does.
    ///
    /// # Errors
    /// As [`get_pieces`](Self::get_pieces).
    #[track_caller]
    pub fn get_pieces_async(
        self,
        bytes: usize,
    ) -> impl Future<Output = Result<PieceBuf<B>, GetError<B::Error>>> + Send + use<'p, B> {
        let list = self.get_rounds_async(self.pieces_for(bytes), Location::caller());
        async move { Ok(PieceBuf::of(Pieces::new(self.pool.clone(), list.await?))) }
    }
}
