//! Where a launcher builds its argument block, and starts its program from.

use std::fmt::Display;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use anyhow::{Context, Result, anyhow};
use kva::Arena;
use pool::pieces::PieceBuf;
use pool::{Backend, GetError, PoolStats, RawPool};

use super::block::ExecBlock;
use super::launchers::Launch;
use super::run::ITEM;
use super::spawn::{Pid, Spawner};

/// Memory for argument blocks.
pub(crate) trait Blocks: Sync {
    /// What a launcher has when it has waited, and gives back by dropping it.
    type Held<'a>
    where
        Self: 'a;

    /// Waits for what the launch takes.
    ///
    /// # Errors
    /// It cannot be had: closed.
    fn get(&self, launch: &Launch<'_>) -> Result<Self::Held<'_>>;

    /// Starts the program. What was held is given back before it has ended: it has its own copy
    /// by then, as after exec.
    ///
    /// # Errors
    /// The program could not be started.
    fn spawn(held: Self::Held<'_>, launch: &Launch<'_>, spawner: &Spawner) -> Result<Pid>;

    /// Of the pool that launchers wait for.
    fn stats(&self) -> PoolStats;

    /// Bytes held, in all, when that pool was so.
    fn held_bytes(&self, stats: &PoolStats) -> u64 {
        stats.held_bytes() as u64
    }

    /// What the pool says of itself, and of who waits for it.
    fn describe(&self) -> String;

    /// Ends every wait.
    fn close(&self);
}

/// An item of a pool of blocks.
pub(crate) struct Item<'a, B: Backend> {
    pool: &'a RawPool<B>,
    /// Invariant: got from the pool, and nobody else's.
    ptr: NonNull<u8>,
}

impl<'a, B: Backend<Error: Display>> Item<'a, B> {
    fn get(pool: &'a RawPool<B>) -> Result<Self> {
        let ptr = pool.get().map_err(|error| waited(&error))?;
        Ok(Self { pool, ptr })
    }

    fn memory(&mut self) -> &mut [MaybeUninit<u8>] {
        let memory = NonNull::slice_from_raw_parts(self.ptr.cast(), ITEM);
        // SAFETY: by the invariant, and items of the pools here are ITEM bytes long.
        unsafe { &mut *memory.as_ptr() }
    }
}

impl<B: Backend> Drop for Item<'_, B> {
    fn drop(&mut self) {
        // SAFETY: by the invariant; nothing refers to it any more.
        let put = unsafe { self.pool.put(self.ptr) };
        put.expect("an item that was got from this pool");
    }
}

fn waited<E: Display>(error: &GetError<E>) -> anyhow::Error {
    anyhow!("getting an argument block: {error}")
}

/// A block is one item.
impl<B: Backend<Error: Display>> Blocks for RawPool<B> {
    type Held<'a> = Item<'a, B>;

    fn get(&self, _: &Launch<'_>) -> Result<Item<'_, B>> {
        Item::get(self)
    }

    fn spawn(mut held: Item<'_, B>, launch: &Launch<'_>, spawner: &Spawner) -> Result<Pid> {
        let block = ExecBlock::build(held.memory(), launch.program, launch.args(), launch.environment)?;
        spawner.spawn(&block).context("starting the program")
    }

    fn stats(&self) -> PoolStats {
        self.stats()
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn close(&self) {
        self.close();
    }
}

/// A block is built in pieces, of which it takes no more than it needs, and copied out once, to
/// where exec finds each string whole: into one of few items, which is held for the start of the
/// program and no longer.
///
/// A launcher holds its pieces while it waits for that item. It is no deadlock: whoever has the
/// item waits for nothing but the system (Havender: resources in one order).
pub(crate) struct InPieces {
    pub(crate) pieces: RawPool,
    pub(crate) items: RawPool,
}

impl Blocks for InPieces {
    type Held<'a> = (PieceBuf, Item<'a, Arena>);

    fn get(&self, launch: &Launch<'_>) -> Result<Self::Held<'_>> {
        let strings = PieceBuf::with_capacity(&self.pieces, launch.layout().strings);
        let mut strings = strings.map_err(|error| waited(&error))?;
        write(&mut strings, launch).context("writing an argument block")?;
        Ok((strings, Item::get(&self.items)?))
    }

    fn spawn((strings, mut item): Self::Held<'_>, launch: &Launch<'_>, spawner: &Spawner) -> Result<Pid> {
        let block = ExecBlock::lay_out(item.memory(), launch.layout(), |room| strings.copy_out(room))?;
        drop(strings);
        spawner.spawn(&block).context("starting the program")
    }

    fn stats(&self) -> PoolStats {
        self.pieces.stats()
    }

    fn held_bytes(&self, stats: &PoolStats) -> u64 {
        (stats.held_bytes() + self.items.stats().held_bytes()) as u64
    }

    fn describe(&self) -> String {
        format!("{:?}\n{:?}", self.pieces, self.items)
    }

    fn close(&self) {
        self.pieces.close();
        self.items.close();
    }
}

fn write(strings: &mut PieceBuf, launch: &Launch<'_>) -> io::Result<()> {
    for string in launch.strings() {
        strings.write_all(string)?;
        strings.write_all(b"\0")?;
    }
    Ok(())
}
