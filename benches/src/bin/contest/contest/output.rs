//! The file that results go to. It is written whole or not at all, whenever the run ends.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use tempfile::NamedTempFile;

/// A file to be written.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
}

impl Output {
    /// A file at `path`. What is there stays until there is something to replace it.
    ///
    /// Fails if it could not be written, before a run is wasted on it.
    pub(crate) fn to(path: &Path) -> anyhow::Result<Self> {
        let output = Self { path: path.to_owned() };
        anyhow::ensure!(!path.is_dir(), "{} is a directory", path.display());
        output.beside().map(|_| output)
    }

    /// Writes it.
    pub(crate) fn write(&self, results: &impl Serialize) -> anyhow::Result<()> {
        let mut file = self.beside()?;
        let written = serde_json::to_writer_pretty(BufWriter::new(&file), results);
        written.with_context(|| self.failed())?;
        writeln!(file).with_context(|| self.failed())?;
        file.persist(&self.path).with_context(|| self.failed())?;
        Ok(())
    }

    /// A new file in the same directory, from where it can be renamed.
    fn beside(&self) -> anyhow::Result<NamedTempFile> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        NamedTempFile::new_in(directory).with_context(|| self.failed())
    }

    fn failed(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_replaced_whole_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bench.json");
        fs::write(&path, "what was there, and was rather long").unwrap();
        let output = Output::to(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("what was there"));
        output.write(&[1, 2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_known_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = Output::to(&directory.path().join("none/bench.json")).unwrap_err();
        assert!(format!("{error:#}").contains("cannot write"), "{error:#}");
        assert!(Output::to(directory.path()).unwrap_err().to_string().contains("is a directory"));
    }
}
