//! The limit: an array of pointers in thread-local storage, shared with nobody.

use std::cell::Cell;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::subject::{Boxed, Memory, Seat, Stock, Subject, boxes};

/// The most objects a thread may have.
const ROOM: usize = 256;

/// A stack of pointers.
struct Stack {
    depth: Cell<usize>,
    slots: [Cell<NonNull<u8>>; ROOM],
}

thread_local! {
    // Constant, and without a destructor: reached without a look at whether it is there.
    static STACK: Stack = const {
        Stack { depth: Cell::new(0), slots: [const { Cell::new(NonNull::dangling()) }; ROOM] }
    };
}

impl Stack {
    #[inline]
    fn push(&self, pointer: NonNull<u8>) {
        let depth = self.depth.get();
        self.slots[depth].set(pointer);
        self.depth.set(depth + 1);
    }

    #[inline]
    fn pop(&self) -> NonNull<u8> {
        let depth = self.depth.get() - 1;
        self.depth.set(depth);
        self.slots[depth].get()
    }
}

/// An array for each thread.
#[derive(Debug)]
pub struct BareArray(Stock);

/// One thread's objects, all of which are in its stack whenever none is out.
#[derive(Debug)]
pub struct Filled(Vec<Boxed>);

impl Filled {
    fn new(stock: Stock) -> Self {
        let mut objects: Vec<_> = boxes(stock).collect();
        STACK.with(|stack| {
            assert_eq!(stack.depth.get(), 0, "one seat a thread");
            for object in &mut objects {
                stack.push(NonNull::from(object.first_byte()).cast());
            }
            // Else the compiler knows who can see the stack, and keeps it in registers.
            black_box(stack);
        });
        Self(objects)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        STACK.with(|stack| assert_eq!(stack.depth.replace(0), self.0.len(), "all were put"));
    }
}

impl Subject for BareArray {
    const NAME: &'static str = "bare thread-local array";

    type Seat<'a> = Filled;

    fn new(stock: Stock) -> Self {
        Self(stock)
    }

    fn enter<R>(&self, work: impl FnOnce(&Filled) -> R) -> R {
        work(&Filled::new(self.0))
    }
}

impl Seat for Filled {
    type Item = Memory;

    #[inline]
    fn get(&self) -> Memory {
        // SAFETY: what is popped is in no other slot, and `self` keeps it allocated.
        STACK.with(|stack| unsafe { Memory::new(stack.pop()) })
    }

    #[inline]
    fn put(&self, item: Memory) {
        STACK.with(|stack| stack.push(item.into_inner()));
    }

    #[inline]
    fn first_byte(item: &mut Memory) -> &mut MaybeUninit<u8> {
        item.first_byte()
    }
}
