//! One launch's arguments and environment, laid out in one item as exec wants
//! them.
//!
//! ```text
//! | pad | argv[0] .. argv[n] NULL | envp[0] .. envp[m] NULL | program\0 arg\0 .. KEY=value\0 .. |
//! ```
//!
//! The pointers point into the same item, and nothing of a launch is anywhere
//! else: this is the contiguous argument buffer over which execs pile up in
//! kern/45718. The padding is there for an item that is not aligned for
//! pointers; items of whole pages have none. The strings may have been gathered
//! elsewhere, in pieces: exec wants each of them whole, so then they are copied in,
//! once, when the program is about to be started.
//!
//! Invariants:
//!
//! 1. Both tables are inside the item, aligned, wholly initialised, and end with
//!    NULL.
//! 2. Every other pointer in them is to a NUL-terminated string inside the item.
//! 3. While the block lives, nobody else reads or writes the item.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, size_of};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

/// The environment, as it was at the start: every launch gets this one.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// `KEY=value\0` over and over.
    bytes: Vec<u8>,
    entries: usize,
}

impl Environment {
    /// Copies this process's environment.
    pub(crate) fn capture() -> Self {
        let mut environment = Self::default();
        for (key, value) in std::env::vars_os() {
            environment.bytes.extend(key.into_vec());
            environment.bytes.push(b'=');
            environment.bytes.extend(value.into_vec());
            environment.bytes.push(0);
            environment.entries += 1;
        }
        environment
    }

    /// Every `KEY=value`, without its NUL.
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let terminated = self.bytes.split_inclusive(|&byte| byte == 0);
        terminated.map(|entry| entry.strip_suffix(b"\0").unwrap_or(entry))
    }
}

/// How many slots and bytes a block takes: counted once, used by whoever checks
/// and by whoever builds, so that the two cannot disagree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Pointers in argv, its NULL included.
    argv: usize,
    /// Pointers in envp, its NULL included.
    envp: usize,
    /// Bytes of strings, their NULs included.
    pub(crate) strings: usize,
}

impl Layout {
    pub(crate) fn of<'a>(program: &CStr, args: impl Iterator<Item = &'a [u8]>, env: &Environment) -> Self {
        let mut layout = Self {
            argv: 2,
            envp: env.entries + 1,
            strings: program.to_bytes_with_nul().len() + env.bytes.len(),
        };
        for arg in args {
            layout.argv += 1;
            layout.strings += arg.len() + 1;
        }
        layout
    }

    fn tables(self) -> usize {
        (self.argv + self.envp) * size_of::<*mut c_char>()
    }

    fn size(self) -> usize {
        self.tables() + self.strings
    }
}

/// Bytes that a launch takes in an item that is aligned for pointers.
pub(crate) fn size<'a>(program: &CStr, args: impl Iterator<Item = &'a [u8]>, env: &Environment) -> usize {
    Layout::of(program, args, env).size()
}

/// A launch's strings in the order in which they lie, each without its NUL.
pub(crate) fn strings<'a>(
    program: &'a CStr,
    args: impl Iterator<Item = &'a [u8]>,
    env: &'a Environment,
) -> impl Iterator<Item = &'a [u8]> {
    std::iter::once(program.to_bytes()).chain(args).chain(env.entries())
}

/// A launch takes more than the item has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoesNotFit {
    /// Bytes the launch takes, with the padding this item would need.
    pub(crate) needed: usize,
    /// Bytes the item has.
    pub(crate) item: usize,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, item } = self;
        write!(f, "the launch takes {needed} bytes, the item has only {item}")
    }
}

impl std::error::Error for DoesNotFit {}

/// A launch that is ready to start. It borrows the item that it lies in.
#[derive(Debug)]
pub(crate) struct ExecBlock<'item> {
    program: *const c_char,
    argv: *const *mut c_char,
    envp: *const *mut c_char,
    item: PhantomData<&'item mut [MaybeUninit<u8>]>,
}

impl<'item> ExecBlock<'item> {
    /// Lays a launch out in `item`. The arguments are gone through twice, first
    /// to measure them; they hold no NUL.
    ///
    /// # Errors
    ///
    /// The item is too small.
    pub(crate) fn build<'a>(
        item: &'item mut [MaybeUninit<u8>],
        program: &'a CStr,
        arguments: impl Iterator<Item = &'a [u8]> + Clone,
        env: &'a Environment,
    ) -> Result<Self, DoesNotFit> {
        let layout = Layout::of(program, arguments.clone(), env);
        Self::lay_out(item, layout, |room| fill(room, strings(program, arguments, env)))
    }

    /// Lays a launch out in `item` whose strings `copy` copies there, as
    /// [`strings`] has them, each with its NUL.
    ///
    /// # Errors
    ///
    /// The item is too small, or there are fewer strings than `layout` says.
    pub(crate) fn lay_out(
        item: &'item mut [MaybeUninit<u8>],
        layout: Layout,
        copy: impl FnOnce(&mut [MaybeUninit<u8>]) -> &mut [u8],
    ) -> Result<Self, DoesNotFit> {
        let pad = item.as_ptr().align_offset(align_of::<*mut c_char>());
        let misfit = DoesNotFit { needed: pad.saturating_add(layout.size()), item: item.len() };
        if misfit.needed > misfit.item {
            return Err(misfit);
        }
        let (tables, room) = item[pad..].split_at_mut(layout.tables());

        // SAFETY: any bytes at all, even none, are a `MaybeUninit` pointer.
        let (_, slots, _) = unsafe { tables.align_to_mut::<MaybeUninit<*mut c_char>>() };
        // The terminators are in place from the start, and no slot is ever left
        // uninitialised, whatever is copied (Invariant 1).
        slots.fill(MaybeUninit::new(ptr::null_mut()));
        let (argv, envp) = slots.split_at_mut_checked(layout.argv).ok_or(misfit)?;
        let (_null, args) = argv.split_last_mut().ok_or(misfit)?;
        let (_null, entries) = envp.split_last_mut().ok_or(misfit)?;

        // The pointers are to parts that no reference covers again. Each part ends
        // with the first NUL in it, so the last one may lack it (Invariant 2).
        let room = room.get_mut(..layout.strings).ok_or(misfit)?;
        let copied = copy(room);
        let mut strings = copied.split_inclusive_mut(|&byte| byte == 0).filter(|text| text.ends_with(b"\0"));
        for slot in args.iter_mut().chain(entries) {
            slot.write(strings.next().ok_or(misfit)?.as_mut_ptr().cast());
        }
        // SAFETY: written above, if there is any: `Layout` counts the program's name.
        let program = unsafe { args.first().ok_or(misfit)?.assume_init() };
        Ok(Self { program, argv: argv.as_ptr().cast(), envp: envp.as_ptr().cast(), item: PhantomData })
    }

    /// `argv[0]`.
    pub(crate) fn program(&self) -> *const c_char {
        self.program
    }

    /// The program and the arguments, NULL at the end.
    pub(crate) fn argv(&self) -> *const *mut c_char {
        self.argv
    }

    /// The environment, NULL at the end.
    pub(crate) fn envp(&self) -> *const *mut c_char {
        self.envp
    }
}

/// Copies the strings into the room, each with a NUL behind it, as far as they fit.
fn fill<'room, 'a>(
    room: &'room mut [MaybeUninit<u8>],
    strings: impl Iterator<Item = &'a [u8]>,
) -> &'room mut [u8] {
    let mut filled = 0;
    for string in strings {
        let Some((nul, text)) = room.get_mut(filled..=filled + string.len()).and_then(<[_]>::split_last_mut)
        else {
            break;
        };
        text.write_copy_of_slice(string);
        nul.write(0);
        filled += string.len() + 1;
    }
    // SAFETY: written, string by string and NUL by NUL.
    unsafe { room[..filled].assume_init_mut() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: [&[u8]; 4] = [b"one", b"", b"two words", b"\xff\xfe"];

    fn environment() -> Environment {
        Environment { bytes: b"HOME=/root\0EMPTY=\0".to_vec(), entries: 2 }
    }

    /// Words, so that the item is aligned for pointers.
    fn words(bytes: usize) -> Vec<MaybeUninit<u64>> {
        vec![MaybeUninit::uninit(); bytes.div_ceil(8)]
    }

    fn bytes_of(words: &mut [MaybeUninit<u64>]) -> &mut [MaybeUninit<u8>] {
        let len = size_of_val(words);
        // SAFETY: the same memory for the same time, and uninitialised bytes may be anything.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
    }

    fn read(mut table: *const *mut c_char) -> Vec<Vec<u8>> {
        let mut strings = Vec::new();
        loop {
            // SAFETY: Invariant 1; the loop ends at the NULL.
            let string = unsafe { table.read() };
            if string.is_null() {
                return strings;
            }
            // SAFETY: Invariant 2.
            strings.push(unsafe { CStr::from_ptr(string) }.to_bytes().to_vec());
            // SAFETY: not yet at the NULL, so there is a next slot.
            table = unsafe { table.add(1) };
        }
    }

    fn assert_reads_back(block: &ExecBlock<'_>) {
        // SAFETY: Invariant 2.
        assert_eq!(unsafe { CStr::from_ptr(block.program()) }, c"prog");
        let mut argv = read(block.argv());
        assert_eq!(argv.remove(0), b"prog");
        assert_eq!(argv, ARGS);
        assert_eq!(read(block.envp()), [b"HOME=/root".as_slice(), b"EMPTY=".as_slice()]);
    }

    #[test]
    fn reads_back_what_was_put_in() {
        let mut words = words(4096);
        let item = bytes_of(&mut words);
        let block = ExecBlock::build(item, c"prog", ARGS.into_iter(), &environment()).unwrap();
        assert_reads_back(&block);
    }

    #[test]
    fn no_arguments_and_no_environment_are_two_short_tables() {
        let env = Environment::default();
        let mut words = words(64);
        let item = bytes_of(&mut words);
        let block = ExecBlock::build(item, c"prog", std::iter::empty(), &env).unwrap();
        assert_eq!(read(block.argv()), [b"prog"]);
        assert!(read(block.envp()).is_empty());
    }

    #[test]
    fn fits_exactly_and_not_in_a_byte_less() {
        let env = environment();
        let needed = size(c"prog", ARGS.into_iter(), &env);
        let mut words = words(needed);
        let item = &mut bytes_of(&mut words)[..needed];
        assert_reads_back(&ExecBlock::build(item, c"prog", ARGS.into_iter(), &env).unwrap());

        let item = &mut bytes_of(&mut words)[..needed - 1];
        let misfit = ExecBlock::build(item, c"prog", ARGS.into_iter(), &env).unwrap_err();
        let expected = DoesNotFit { needed, item: needed - 1 };
        assert_eq!(misfit, expected);
    }

    #[test]
    fn an_unaligned_item_costs_its_padding() {
        let env = environment();
        let aligned = size(c"prog", ARGS.into_iter(), &env);
        let mut words = words(aligned + 8);
        let padding = align_of::<*mut c_char>() - 1;
        let item = &mut bytes_of(&mut words)[1..=aligned + padding];
        assert_reads_back(&ExecBlock::build(item, c"prog", ARGS.into_iter(), &env).unwrap());

        let item = &mut bytes_of(&mut words)[1..aligned + padding];
        let misfit = ExecBlock::build(item, c"prog", ARGS.into_iter(), &env).unwrap_err();
        assert_eq!(misfit.needed, aligned + padding);
    }

    #[test]
    fn strings_gathered_elsewhere_are_copied_in() {
        let env = environment();
        let layout = Layout::of(c"prog", ARGS.into_iter(), &env);
        let text = strings(c"prog", ARGS.into_iter(), &env)
            .flat_map(|string| [string, b"\0"])
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(text.len(), layout.strings);
        let mut words = words(4096);
        let item = bytes_of(&mut words);
        let block = ExecBlock::lay_out(item, layout, |room| room.write_copy_of_slice(&text));
        assert_reads_back(&block.unwrap());
        // A string without its NUL is none.
        let cut = &text[..text.len() - 1];
        let item = bytes_of(&mut words);
        let block = ExecBlock::lay_out(item, layout, |room| room[..cut.len()].write_copy_of_slice(cut));
        assert!(block.is_err());
    }

    #[test]
    fn nothing_fits_in_nothing() {
        let env = Environment::default();
        assert!(ExecBlock::build(&mut [], c"prog", std::iter::empty(), &env).is_err());
    }

    #[test]
    fn the_real_environment_is_captured_whole() {
        let env = Environment::capture();
        assert_eq!(env.entries().count(), env.entries);
        assert_eq!(env.entries, std::env::vars_os().count());
    }
}
