//! What is measured: something that gives objects and takes them back.
//!
//! Workloads are generic over the subject, so that what is measured is what a program that names
//! the subject would run: nothing in a measured loop is called through a pointer.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// How many objects a subject is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stock {
    /// So many, and no more: getters wait for each other.
    Scarce {
        /// How many.
        objects: usize,
        /// Whether to count how often waiters are overtaken, if that has a cost.
        counted: bool,
    },
    /// Enough for so many to be out at once, with room to spare.
    Ample(usize),
}

impl Stock {
    /// How many objects to put into a subject that makes none itself. Of an ample stock twice as
    /// many as are ever out: no more, since whoever goes round all of them has the colder caches
    /// for it.
    #[must_use]
    pub fn objects(self) -> usize {
        match self {
            Self::Scarce { objects, .. } => objects,
            Self::Ample(out) => (2 * out).max(64),
        }
    }

    /// Whether to count how often waiters are overtaken.
    #[must_use]
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Scarce { counted: true, .. })
    }
}

/// Where one thread gets and puts.
pub trait Seat {
    /// An object that is out.
    type Item;

    /// Gets an object, waiting for one if the subject can.
    fn get(&self) -> Self::Item;

    /// Puts it back.
    fn put(&self, item: Self::Item);

    /// The first byte of its memory.
    fn first_byte(item: &mut Self::Item) -> &mut MaybeUninit<u8>;
}

/// What is measured.
pub trait Subject: Sync + Sized + 'static {
    /// Its name in tables, on the command line and in what is written down. It does not change.
    const NAME: &'static str;

    /// Where one of its threads gets and puts.
    type Seat<'a>: Seat;

    /// Makes one with that stock.
    fn new(stock: Stock) -> Self;

    /// Does `work` at a seat for the calling thread.
    fn enter<R>(&self, work: impl FnOnce(&Self::Seat<'_>) -> R) -> R;

    /// The most that a waiter was overtaken by later arrivals so far, if that is counted.
    fn most_overtaken(&self) -> Option<u64> {
        None
    }
}

/// A subject that threads use as it is: whatever one of them got, any other may put.
pub trait Shared: Sync + Sized + 'static {
    /// As [`Subject::NAME`].
    const NAME: &'static str;

    /// An object that is out.
    type Item<'a>;

    /// As [`Subject::new`].
    fn new(stock: Stock) -> Self;

    /// As [`Seat::get`].
    fn get(&self) -> Self::Item<'_>;

    /// As [`Seat::put`].
    fn put<'a>(&'a self, item: Self::Item<'a>);

    /// As [`Seat::first_byte`].
    fn first_byte<'i>(item: &'i mut Self::Item<'_>) -> &'i mut MaybeUninit<u8>;

    /// As [`Subject::most_overtaken`].
    fn most_overtaken(&self) -> Option<u64> {
        None
    }
}

impl<'a, S: Shared> Seat for &'a S {
    type Item = S::Item<'a>;

    #[inline]
    fn get(&self) -> S::Item<'a> {
        S::get(self)
    }

    #[inline]
    fn put(&self, item: S::Item<'a>) {
        S::put(self, item);
    }

    #[inline]
    fn first_byte<'i>(item: &'i mut S::Item<'a>) -> &'i mut MaybeUninit<u8> {
        S::first_byte(item)
    }
}

impl<S: Shared> Subject for S {
    const NAME: &'static str = S::NAME;

    type Seat<'a> = &'a S;

    fn new(stock: Stock) -> Self {
        Shared::new(stock)
    }

    fn enter<R>(&self, work: impl FnOnce(&Self::Seat<'_>) -> R) -> R {
        work(&self)
    }

    fn most_overtaken(&self) -> Option<u64> {
        Shared::most_overtaken(self)
    }
}

/// An object of `BYTES` bytes. What is in them nobody knows: making one costs nothing, as making
/// one costs an allocator nothing.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Block<const BYTES: usize>([MaybeUninit<u8>; BYTES]);

impl<const BYTES: usize> Default for Block<BYTES> {
    fn default() -> Self {
        Self([const { MaybeUninit::uninit() }; BYTES])
    }
}

impl<const BYTES: usize> Block<BYTES> {
    /// The first of its bytes.
    #[inline]
    pub const fn first_byte(&mut self) -> &mut MaybeUninit<u8> {
        &mut self.0[0]
    }
}

/// The size of object that all subjects are measured with.
pub const USUAL: usize = 64;

/// An object that a subject lends by value, on the heap: so the cheapest there is to move.
#[derive(Debug, Default)]
pub struct Boxed(Box<Block<USUAL>>);

impl Boxed {
    /// The first of its bytes.
    #[inline]
    pub const fn first_byte(&mut self) -> &mut MaybeUninit<u8> {
        self.0.first_byte()
    }
}

/// As many as `stock` says.
pub fn boxes(stock: Stock) -> impl ExactSizeIterator<Item = Boxed> {
    (0..stock.objects()).map(|_| Boxed::default())
}

/// Memory that is out, of a [`Block`]'s layout. Whoever has the `Memory` has it alone.
#[derive(Debug)]
pub struct Memory(NonNull<u8>);

// SAFETY: it is an owner; nothing about the memory is the thread's that got it.
unsafe impl Send for Memory {}

impl Memory {
    /// Memory at `start`.
    ///
    /// # Safety
    /// It is good for at least one byte, and nobody else uses it, until it is
    /// [taken apart](Self::into_inner).
    #[inline]
    #[must_use]
    pub const unsafe fn new(start: NonNull<u8>) -> Self {
        Self(start)
    }

    /// Where it starts.
    #[inline]
    #[must_use]
    pub const fn into_inner(self) -> NonNull<u8> {
        self.0
    }

    /// The first of its bytes.
    #[inline]
    pub const fn first_byte(&mut self) -> &mut MaybeUninit<u8> {
        // SAFETY: it is good for a byte and ours alone, as `new` was told.
        unsafe { self.0.cast().as_mut() }
    }
}

/// Uses an object: one byte is written to it, where the optimiser does not see which.
#[inline]
pub fn touch<S: Seat>(item: &mut S::Item) {
    black_box(S::first_byte(item)).write(1);
}

/// Gets an object, uses it and puts it back, so many times.
// Not inlined, so that profilers see the loop by itself.
#[inline(never)]
pub fn pairs<S: Seat>(seat: &S, times: u64) {
    for _ in 0..times {
        let mut item = seat.get();
        touch::<S>(&mut item);
        seat.put(item);
    }
}
