//! The shapes of `scarce`: so many threads, so many objects, with work while one is held or without.

use benches::case::Bench;
use benches::results::{Row, Scarce};

use super::run::{Missing, Run, distinct};

/// One shape, and what each subject did in it.
#[derive(Debug)]
pub(crate) struct Shape<'a> {
    threads: usize,
    objects: usize,
    work: bool,
    pub(crate) subjects: Vec<(&'a str, &'a Scarce)>,
}

impl<'a> Shape<'a> {
    /// The shapes of a run, in its order.
    pub(crate) fn all(run: &'a Run) -> Vec<Self> {
        let key = |(row, scarce): (&Row, &Scarce)| (row.threads, scarce.objects, scarce.work);
        let keys = distinct(rows(run).map(key));
        keys.into_iter().map(|(threads, objects, work)| Self::of(run, threads, objects, work)).collect()
    }

    /// One of them, with nobody in it if the run has it not.
    pub(crate) fn of(run: &'a Run, threads: usize, objects: usize, work: bool) -> Self {
        let is_it = |row: &Row, scarce: &Scarce| {
            (row.threads, scarce.objects, scarce.work) == (threads, objects, work)
        };
        let rows = rows(run).filter(|(row, scarce)| is_it(row, scarce));
        Self { threads, objects, work, subjects: rows.map(|(row, scarce)| (&*row.subject, scarce)).collect() }
    }

    /// What one subject did.
    pub(crate) fn by(&self, subject: &str) -> Result<&'a Scarce, Missing> {
        let found = self.subjects.iter().find(|(name, _)| *name == subject);
        let found = found.map(|(_, scarce)| *scarce);
        found.ok_or_else(|| Missing(format!("no `{subject}` in scarce, {}", self.name())))
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        let Self { threads, objects, work, .. } = self;
        format!("{threads} threads, {objects} objects{}", if *work { ", with work" } else { "" })
    }

    /// As part of the name of a file.
    pub(crate) fn slug(&self) -> String {
        let Self { threads, objects, work, .. } = self;
        format!("{threads}x{objects}{}", if *work { "-work" } else { "" })
    }
}

fn rows(run: &Run) -> impl Iterator<Item = (&Row, &Scarce)> {
    run.of(Bench::Scarce).filter_map(|row| Some((row, row.scarce.as_ref()?)))
}
