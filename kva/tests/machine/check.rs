//! Who hears of what, what is checked after each operation, and at the end.

use std::task::{Context, Poll, Waker};

use kva::sync::atomic::Ordering::SeqCst;
use kva::{AllocError, Refusal};

use super::naive::Request;
use super::support::assert_rests;
use super::world::{Granted, Kind, World};
use super::{LONGEST, NO_LIMIT};

impl World {
    /// Whoever was granted something, or refused, is told.
    pub(super) fn hear(&mut self, line: &[Request]) {
        for span in self.stash.freed() {
            self.naive.set(span.range(), None);
            self.freed.push(span);
        }
        let mut ends: Vec<(Request, Granted)> = Vec::new();
        self.ends.extend(self.asker.ends_by_id());
        for (id, end) in std::mem::take(&mut self.ends) {
            let is_it = |(_, kind): &(Request, Kind)| matches!(kind, Kind::Token(other) if *other == id);
            let at = self.waiting.iter().position(is_it).expect("it waited");
            let end = end.map_err(|refusal| match refusal {
                Refusal::Error(error) => error,
                other => panic!("{other:?}"),
            });
            ends.push((self.waiting.remove(at).0, end));
        }
        let is_woken =
            |(_, kind): &mut (Request, Kind)| matches!(kind, Kind::Task(woken, _) if woken.0.load(SeqCst));
        for (request, kind) in self.waiting.extract_if(.., is_woken) {
            let Kind::Task(_, mut future) = kind else { unreachable!("it was woken") };
            let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("{request:?} was woken for nothing");
            };
            ends.push((request, end));
        }
        ends.sort_by_key(|(request, _)| request.came);
        let granted: Vec<_> =
            ends.iter().filter(|(_, end)| end.is_ok()).map(|(request, _)| *request).collect();
        for (request, end) in ends {
            match end {
                Ok(span) => self.got(request, span),
                Err(error) => {
                    assert_eq!(error, AllocError::Closed);
                    assert!(self.naive.closed);
                }
            }
        }
        for request in granted {
            // Who waits for its quota, and has what its client had, passes nobody.
            if !self.yielded || line.iter().any(|other| other.came == request.came) {
                self.passes(line, request.came);
            }
        }
        self.yielded = false;
    }

    pub(super) fn check(&self) {
        let (stats, line) = (self.arena().stats(), self.in_line());
        let taken = self.naive.owner.iter().flatten().count() as u32;
        let says = format!("{:?}, {line:?}, {stats:?}", self.naive);
        assert_eq!(stats.quanta, self.naive.quanta(), "{says}");
        assert_eq!(stats.free + stats.withheld + taken, stats.quanta, "{says}");
        assert_eq!(stats.waiting, self.waiting.len(), "{says}");
        let most = u64::from(self.setup.bypass) * u64::from(LONGEST);
        assert!(stats.most_overtaken <= most, "P4: {says}");
        for (client, handle) in self.handles.iter().enumerate() {
            assert_eq!(handle.used(), self.naive.has(client), "of client {client}: {says}");
        }
        assert_eq!(self.arena().is_closed(), self.naive.closed);
        assert!(!self.naive.closed || self.waiting.is_empty(), "{says}");
        let withheld = self.withheld();
        let Some((head, behind)) = line.split_first() else {
            return assert_eq!(stats.withheld, 0, "for nobody: {says}");
        };
        // The first has what is withheld for it, as soon as it is enough.
        assert!(!self.naive.fits(head.shape, &(0..0)), "the first could have it: {says}");
        if self.setup.bypass == NO_LIMIT {
            let could = behind.iter().find(|request| self.naive.fits(request.shape, &withheld));
            assert_eq!(could, None, "it could have it: {says}");
        }
        // What the hook has is nowhere that something is wanted.
        let in_the_way = self.stash.spans().into_iter().find(|span| {
            !withheld.is_empty() && span.start() < withheld.end && withheld.start < span.range().end
        });
        assert_eq!(in_the_way, None, "{says}");
    }

    /// Each has its turn, as far as there is anything for it; then all is as it was (P6).
    pub(super) fn end(mut self) {
        while let Some((_, grow, kept)) = self.reserved.pop() {
            let (line, id) = (self.in_line(), grow.id());
            drop(grow);
            self.end_of(id);
            for span in kept {
                self.naive.set(span.range(), None);
            }
            self.arena().forget(id);
            self.hear(&line);
        }
        self.held.extend(self.stash.take_all().into_iter().map(|span| (span, 0)));
        while !self.held.is_empty() {
            let line = self.in_line();
            let span = self.free(0);
            self.arena().free(span).unwrap();
            self.hear(&line);
            self.check();
        }
        assert!(
            self.waiting.is_empty(),
            "{:?} wait for ever",
            self.waiting.iter().map(|(request, _)| request).collect::<Vec<_>>()
        );
        assert_rests(self.arena(), self.naive.regions.len() as u32);
    }
}
