//! The arguments, and how they are cut into launches.
//!
//! All of them are read before the first launch, so that one which can never fit
//! in an item is an error at the start, not a launcher that fails halfway. They
//! lie in one buffer as they were read, each with its separator behind it; only
//! where each ends is kept beside.
//!
//! No argument holds a NUL: either NULs separate the arguments, or there are none
//! in the input, or the argument is a file's name.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::block::{self, Environment};
use super::spawn;

/// Directories that the default arguments leave out.
const SKIPPED: [&str; 2] = [".git", "target"];

/// Byte strings in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Args {
    /// Every argument, with one separator behind each.
    bytes: Vec<u8>,
    /// Where each argument's separator is.
    ends: Vec<usize>,
}

impl Args {
    /// Reads the arguments that `--args-from` names; without it, the names of the
    /// files below the current directory.
    ///
    /// # Errors
    ///
    /// Something could not be read: the error says what and why.
    pub(crate) fn load(from: Option<&Path>) -> Result<Self> {
        match from {
            None => Self::walk(Path::new(".")),
            Some(path) if path == Path::new("-") => {
                let mut input = Vec::new();
                let read = io::stdin().lock().read_to_end(&mut input);
                read.context("cannot read arguments from the standard input")?;
                Ok(Self::parse(input))
            }
            Some(path) => {
                let input = fs::read(path)
                    .with_context(|| format!("cannot read arguments from {}", path.display()))?;
                Ok(Self::parse(input))
            }
        }
    }

    /// Splits at NULs if there are any, else at newlines: as `xargs -0` and
    /// `xargs -d '\n'` do, so an empty line is an empty argument, and a separator
    /// at the very end starts no further one.
    fn parse(mut bytes: Vec<u8>) -> Self {
        let separator = if bytes.contains(&0) { 0 } else { b'\n' };
        if bytes.last().is_some_and(|&last| last != separator) {
            bytes.push(separator);
        }
        let ends = (0..bytes.len()).filter(|&at| bytes[at] == separator).collect();
        Self { bytes, ends }
    }

    /// The names of all files below `root`, sorted by their bytes. A symbolic
    /// link is a file here and never followed, so there are no cycles.
    fn walk(root: &Path) -> Result<Self> {
        let mut names = Vec::new();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            list(&directory, &mut names, &mut directories)
                .with_context(|| format!("cannot read the directory {}", directory.display()))?;
        }
        let mut names: Vec<_> = names.into_iter().map(|name| name.into_os_string().into_vec()).collect();
        names.sort_unstable();

        let mut args = Self::default();
        for name in names {
            args.bytes.extend(name);
            args.ends.push(args.bytes.len());
            args.bytes.push(0);
        }
        Ok(args)
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The arguments numbered so, from 0; those that do not exist are left out.
    fn range(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> + Clone {
        let start_of = |at: usize| at.checked_sub(1).map_or(0, |before| self.ends[before] + 1);
        let range = range.start..range.end.min(self.len());
        range.map(move |at| &self.bytes[start_of(at)..self.ends[at]])
    }
}

/// Sorts a directory's entries into files and further directories.
fn list(directory: &Path, files: &mut Vec<PathBuf>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        // Removed since its parent was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        } else if SKIPPED.iter().all(|skipped| entry.file_name() != *skipped) {
            directories.push(entry.path());
        }
    }
    Ok(())
}

/// The arguments in groups of at most `max_args`; each group is one launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launches<'a> {
    args: &'a Args,
    max_args: usize,
    len: usize,
}

impl<'a> Launches<'a> {
    /// Cuts `args` up; `limit` is the most launches wanted.
    pub(crate) fn new(args: &'a Args, max_args: NonZeroUsize, limit: Option<usize>) -> Self {
        let max_args = max_args.get();
        let len = args.len().div_ceil(max_args);
        Self { args, max_args, len: len.min(limit.unwrap_or(len)) }
    }

    /// How many launches there are. No arguments, no launches.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The arguments of launch `index`; past the last launch, none.
    pub(crate) fn get(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.args.range(self.numbers(index))
    }

    /// The numbers of its arguments.
    fn numbers(&self, index: usize) -> Range<usize> {
        let start = index.saturating_mul(self.max_args).min(self.args.len());
        start..start.saturating_add(self.max_args).min(self.args.len())
    }
}

/// Makes sure, before anything is launched, that every launch can be: that it
/// fits in an item, and that exec takes each of its arguments.
///
/// # Errors
///
/// One does not: the error names what is too long, how long it is, and how long
/// it may be.
pub(crate) fn check_fits(
    launches: &Launches<'_>,
    program: &CStr,
    env: &Environment,
    item: usize,
) -> Result<()> {
    let alone = block::size(program, std::iter::empty(), env);
    if alone > item {
        bail!(
            "the environment and the program's name take {alone} bytes, \
             more than an item's {item}: run with a smaller environment (env -i)"
        );
    }
    let longest = spawn::longest_argument();
    for index in 0..launches.len() {
        let numbers = launches.numbers(index);
        for (number, arg) in numbers.clone().zip(launches.get(index)) {
            let (number, text, len) = (number + 1, excerpt(arg), arg.len());
            if block::size(program, std::iter::once(arg), env) > item {
                bail!(
                    "argument {number}, {text}, is {len} bytes long: \
                     with the environment and the program's name ({alone} bytes) \
                     it does not fit in an item of {item} bytes"
                );
            }
            if len > longest {
                bail!(
                    "argument {number}, {text}, is {len} bytes long: \
                     it would fit in an item of {item} bytes, \
                     but this system's exec takes at most {longest} bytes an argument"
                );
            }
        }
        let needed = block::size(program, launches.get(index), env);
        if needed > item {
            bail!(
                "launch {}, arguments {} to {}, takes {needed} bytes, \
                 more than an item's {item}: lower --max-args",
                index + 1,
                numbers.start + 1,
                numbers.end,
            );
        }
    }
    Ok(())
}

/// The beginning of an argument, fit to be printed.
fn excerpt(arg: &[u8]) -> String {
    /// Enough to find the argument by, and the message still fits on a few lines.
    const SHOWN: usize = 40;
    let shown = String::from_utf8_lossy(&arg[..arg.len().min(SHOWN)]);
    let dots = if arg.len() > SHOWN { "..." } else { "" };
    format!("{:?}{dots}", shown.trim_end_matches('\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &CStr = c"true";

    fn cut(args: &Args, max_args: usize, limit: Option<usize>) -> Launches<'_> {
        Launches::new(args, NonZeroUsize::new(max_args).unwrap(), limit)
    }

    fn split(input: &[u8]) -> Vec<Vec<u8>> {
        let args = Args::parse(input.to_vec());
        args.range(0..usize::MAX).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn a_nul_anywhere_makes_nuls_the_separators() {
        assert_eq!(split(b"a\nb\n"), [b"a", b"b"]);
        assert_eq!(split(b"a\nb"), [b"a", b"b"]);
        assert_eq!(split(b"a\nb\0c"), [b"a\nb".as_slice(), b"c"]);
        assert_eq!(split(b"a\n\nb"), [b"a".as_slice(), b"", b"b"]);
        assert_eq!(split(b"\n"), [b""]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn launches_hold_every_argument_once_in_order() {
        let args = Args::parse(b"a\nb\nc\nd\ne\n".to_vec());
        let launches = cut(&args, 2, None);
        assert_eq!(launches.len(), 3);
        let all: Vec<Vec<_>> = (0..3).map(|at| launches.get(at).collect()).collect();
        assert_eq!(all[0], [b"a", b"b"]);
        assert_eq!(all[1], [b"c", b"d"]);
        assert_eq!(all[2], [b"e"]);
        assert_eq!(launches.get(3).count(), 0);
        assert_eq!(launches.get(usize::MAX).count(), 0);
        assert_eq!(cut(&args, usize::MAX, None).get(0).count(), 5);
    }

    #[test]
    fn a_limit_cuts_the_launches_short_and_never_adds_any() {
        let args = Args::parse(b"a\nb\nc\n".to_vec());
        assert_eq!(cut(&args, 1, Some(2)).len(), 2);
        assert_eq!(cut(&args, 1, Some(9)).len(), 3);
        assert_eq!(cut(&Args::default(), 1, Some(9)).len(), 0);
    }

    #[test]
    fn check_agrees_with_the_size_to_the_byte() {
        let env = Environment::capture();
        let args = Args::parse(b"some\narguments\n".to_vec());
        let launches = cut(&args, 2, None);
        let needed = block::size(PROGRAM, launches.get(0), &env);
        assert!(check_fits(&launches, PROGRAM, &env, needed).is_ok());
        let error = check_fits(&launches, PROGRAM, &env, needed - 1).unwrap_err();
        assert!(error.to_string().contains("lower --max-args"), "{error}");
        // One by one they do fit there.
        assert!(check_fits(&cut(&args, 1, None), PROGRAM, &env, needed - 1).is_ok());
    }

    #[test]
    fn an_argument_too_long_is_named_with_its_length_and_the_items() {
        let env = Environment::default();
        let args = Args::parse([b"short\nlong".as_slice(), &[b'x'; 9000]].concat());
        let launches = cut(&args, 1, None);
        let error = check_fits(&launches, PROGRAM, &env, 8192).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("argument 2, \"longxxx"), "{text}");
        assert!(text.contains("9004 bytes long"), "{text}");
        assert!(text.contains("item of 8192 bytes"), "{text}");
        assert!(text.len() < 300, "{text}");
        // Beyond the limit nothing is launched, so nothing is checked.
        assert!(check_fits(&cut(&args, 1, Some(1)), PROGRAM, &env, 8192).is_ok());
    }

    #[test]
    fn an_argument_exec_would_refuse_is_refused_here() {
        let env = Environment::default();
        let longest = spawn::longest_argument();
        let args = Args::parse(vec![b'x'; longest]);
        assert!(check_fits(&cut(&args, 1, None), PROGRAM, &env, usize::MAX).is_ok());
        let args = Args::parse(vec![b'x'; longest + 1]);
        let error = check_fits(&cut(&args, 1, None), PROGRAM, &env, usize::MAX).unwrap_err();
        assert!(error.to_string().contains("exec takes at most"), "{error}");
    }

    #[test]
    fn an_environment_too_large_is_not_blamed_on_an_argument() {
        let env = Environment::default();
        let args = Args::parse(b"a\n".to_vec());
        let error = check_fits(&cut(&args, 1, None), PROGRAM, &env, 16).unwrap_err();
        assert!(error.to_string().starts_with("the environment"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Args::load(Some(Path::new("/no/such/file"))).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("/no/such/file"), "{text}");
        assert!(text.contains("No such file"), "{text}");
        assert!(Args::load(Some(Path::new("/"))).is_err());
    }

    #[test]
    fn the_walk_is_sorted_and_leaves_out_what_it_should() {
        let root = std::env::temp_dir().join(format!("storm-walk-{}", std::process::id()));
        for directory in ["b", ".git", "b/target/deep", "empty"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["b/2", "a", ".git/x", "b/target/y", "b/target/deep/z"] {
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
        let args = Args::walk(&root);
        fs::remove_dir_all(&root).unwrap();
        let args = args.unwrap();
        let names: Vec<_> = args
            .range(0..usize::MAX)
            .map(|name| std::str::from_utf8(name).unwrap())
            .map(|name| name.strip_prefix(root.to_str().unwrap()).unwrap())
            .collect();
        assert_eq!(names, ["/a", "/b/2", "/loop"]);
    }
}
