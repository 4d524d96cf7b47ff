//! What the kernel says of this process.

use std::fs;

use anyhow::{Context, Result};

use super::heap;

/// What a process should have again once all is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Usage {
    /// In bytes.
    pub(crate) resident: usize,
    /// Blocks of the heap.
    pub(crate) blocks: usize,
    pub(crate) files: usize,
    pub(crate) threads: usize,
    /// Of the address space.
    pub(crate) mappings: usize,
}

impl Usage {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let blocks = heap::blocks();
        let statm = fs::read_to_string("/proc/self/statm").context("/proc/self/statm")?;
        let pages: usize = statm.split_whitespace().nth(1).context("resident pages")?.parse()?;
        Ok(Self {
            resident: pages * rustix::param::page_size(),
            blocks,
            files: count("/proc/self/fd")?,
            threads: count("/proc/self/task")?,
            mappings: fs::read_to_string("/proc/self/maps").context("/proc/self/maps")?.lines().count(),
        })
    }
}

fn count(folder: &str) -> Result<usize> {
    Ok(fs::read_dir(folder).with_context(|| folder.to_owned())?.count())
}
