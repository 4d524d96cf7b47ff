//! The copy of the workspace that mutants are put into.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::directory;

/// A copy of what git does not ignore.
pub(super) struct Tree {
    root: PathBuf,
    /// Held, so that two runs do not change one tree.
    _lock: File,
}

impl Tree {
    /// Brings the copy up to date. Files that are as they were stay untouched, so that nothing is
    /// built again for them.
    pub(super) fn copy() -> anyhow::Result<Self> {
        let dir = directory()?;
        let lock = File::create(dir.join("lock"))?;
        lock.try_lock().with_context(|| format!("another run has {}", dir.display()))?;
        let (from, root) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?, dir.join("tree"));
        let git = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from)
            .output()
            .context("git cannot be started")?;
        ensure!(git.status.success(), "git ls-files: {}", String::from_utf8_lossy(&git.stderr));
        let names = String::from_utf8(git.stdout).context("a name that is no text")?;
        let mut copied = HashSet::new();
        for name in names.split_terminator('\0') {
            let (source, target) = (from.join(name), root.join(name));
            // One that was removed and is in the index still; or a link, of which nothing is built.
            if !source.symlink_metadata().is_ok_and(|file| file.is_file()) {
                continue;
            }
            copy(&source, &target).with_context(|| format!("{name} cannot be copied"))?;
            copied.insert(target);
        }
        remove_others(&root, &copied)?;
        Ok(Self { root, _lock: lock })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("{file} cannot be read"))
    }

    pub(super) fn write(&self, file: &str, source: &str) -> anyhow::Result<()> {
        fs::write(self.root.join(file), source).with_context(|| format!("{file} cannot be written"))
    }
}

fn copy(source: &Path, target: &Path) -> anyhow::Result<()> {
    let new = fs::read(source)?;
    if fs::read(target).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(target, new)?;
    Ok(())
}

/// What is not in the workspace any more: cargo would find tests by their names.
fn remove_others(dir: &Path, copied: &HashSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, copied)?;
        } else if !copied.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
