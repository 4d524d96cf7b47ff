//! Files that results go to: each is written whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::Access;

/// Makes sure, before anything runs, that results can be written to `path`, which `option` named.
///
/// # Errors
///
/// They cannot: the error names the file and says why.
pub(crate) fn check(option: &str, path: &Path) -> Result<()> {
    let checked = match place(path) {
        Err(error) => Err(error),
        // Not opened: whoever reads a FIFO would have seen its end.
        Ok(Place::Special) => rustix::fs::access(path, Access::WRITE_OK).map_err(Into::into),
        // What will be done in the end, but for the contents.
        Ok(Place::File(path)) => beside(&path).and_then(|beside| {
            let made = File::create_new(&beside).map(drop);
            made.and_then(|()| fs::remove_file(&beside))
        }),
    };
    checked.with_context(|| format!("{option}: cannot write to {}", path.display()))
}

/// Makes sure that two files are not the same one.
///
/// # Errors
///
/// They are, by whatever names.
pub(crate) fn check_distinct(one: (&str, &Path), other: (&str, &Path)) -> Result<()> {
    let end = |path: &Path| match place(path) {
        Ok(Place::File(path)) => {
            let folder = fs::canonicalize(parent(&path));
            folder.ok().and_then(|folder| Some(folder.join(path.file_name()?)))
        }
        Ok(Place::Special) | Err(_) => None,
    };
    if let (Some(first), Some(second)) = (end(one.1), end(other.1))
        && first == second
    {
        let (one, other) = (one.0, other.0);
        bail!("{one} and {other} name the same file, {}: one would overwrite the other", first.display());
    }
    Ok(())
}

/// Writes all of it or nothing: an older file of that name stays as it was until the new one is
/// complete.
///
/// # Errors
///
/// It could not be written: the error says where and why.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = match place(path) {
        Err(error) => Err(error),
        Ok(Place::Special) => fs::write(path, bytes),
        Ok(Place::File(path)) => replace(&path, bytes),
    };
    written.with_context(|| format!("cannot write the results to {}", path.display()))
}

enum Place {
    /// `/dev/stdout`, a FIFO: nothing that one may move a file onto.
    Special,
    /// A file, or none yet. Not a link: its target is to be replaced.
    File(PathBuf),
}

fn place(path: &Path) -> io::Result<Place> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.is_file() => Ok(Place::File(fs::canonicalize(path)?)),
        Ok(_) => Ok(Place::Special),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::File(path.to_path_buf())),
        Err(error) => Err(error),
    }
}

/// Writes a file beside `path` and moves it there when it is on the disk.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path)?;
    File::create_new(&beside).and_then(|mut file| {
        let complete = file
            .write_all(bytes)
            // Some file systems find out only now that the disk is full.
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, path));
        if complete.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&beside);
        }
        complete
    })
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

/// The folder that a file is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty directory that is removed in the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("storm-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_behind_a_link_is_replaced_and_nothing_is_left_beside() {
        let scratch = Scratch::new("files");
        let (real, link) = (scratch.0.join("real"), scratch.0.join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        check("--json", &link).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"old");
        write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
    }

    #[test]
    fn where_nothing_can_be_written_is_named() {
        for go in [|path: &Path| check("--json", path), |path: &Path| write(path, b"")] {
            let text = format!("{:#}", go(Path::new("/no/such/directory/f")).unwrap_err());
            assert!(text.contains("/no/such/directory/f"), "{text}");
            assert!(text.contains("No such file"), "{text}");
            let text = format!("{:#}", go(Path::new("/tmp")).unwrap_err());
            assert!(text.contains("directory"), "{text}");
            assert!(go(Path::new("/dev/null")).is_ok());
            assert!(!Path::new("/dev/null").is_file());
        }
    }

    #[test]
    fn who_reads_a_fifo_has_all_of_it() {
        let scratch = Scratch::new("fifo");
        let fifo = scratch.0.join("fifo");
        let status = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(status.success());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&fifo).unwrap());
            check("--json", &fifo).unwrap();
            write(&fifo, b"all").unwrap();
            assert_eq!(reader.join().unwrap(), b"all");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let error = write(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
    }

    #[test]
    fn one_file_by_two_names_is_found_out() {
        let scratch = Scratch::new("same");
        let (one, other) = (scratch.0.join("one"), scratch.0.join("other"));
        let same = |other: &Path| check_distinct(("--json", &one), ("--report", other));
        assert!(same(&other).is_ok());
        let text = same(&scratch.0.join(".").join("one")).unwrap_err().to_string();
        assert!(text.contains("--json and --report"), "{text}");
        fs::write(&one, "").unwrap();
        std::os::unix::fs::symlink("one", &other).unwrap();
        assert!(same(&other).is_err());
        let null = Path::new("/dev/null");
        assert!(check_distinct(("--json", null), ("--report", null)).is_ok());
    }
}
