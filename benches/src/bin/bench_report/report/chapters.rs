//! The benches, each with what a reader has to know to read its figures.
//!
//! The texts say what is measured, and how to read it. They name no figure of a run.

use benches::case::Bench;

use super::grid::Grid;
use super::plot::{self, Plot};
use super::run::{Place, Run};
use super::scarce::Shape;
use super::spans::Filled;
use super::tables;

/// One bench in the report.
pub(crate) struct Chapter {
    pub(crate) bench: Bench,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    kind: Kind,
}

/// How a bench is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A column and bars for each place.
    Bars,
    /// A column for each number of threads, and lines over them.
    Threads,
    /// A column for each size, and lines over them.
    Sizes,
    /// A column for each number of something, and a line for each something.
    Scales,
    /// A table for each shape, and throughput against the longest waits.
    Waits,
    Memory,
    /// A table for each mix of shapes and each fill, and lines over the spans that are out.
    Spans,
    /// A table for each large span.
    Large,
}

/// All of them, in the order of the report.
pub(crate) const CHAPTERS: [Chapter; 14] = [
    Chapter {
        bench: Bench::Uncontended,
        title: "One thread",
        text: "One thread gets an item and puts it back, over and over, and nobody else is there. Nanoseconds a \
               pair. `ours` is `Pool::get` and the drop of its guard, as most people call it; `ours, by handle` \
               goes through `Pool::local`, which has found the thread's cache already. An allocator's pair is \
               an alloc and a free of as many bytes. The thread-local array bounds nothing, serves one thread, and \
               frees nothing: it is the limit, not a peer.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Contended,
        title: "Several threads on one pool",
        text: "The same pair by several threads at once, on one pool. Nanoseconds a pair as each thread sees it: a \
               line that stays flat is a pool whose threads don't meet. There are more threads than processors in \
               the last columns, whose figures are then mostly what the scheduler makes of it.",
        kind: Kind::Threads,
    },
    Chapter {
        bench: Bench::Scarce,
        title: "More threads than objects",
        text: "More threads than there are objects, so that some of them wait; \"with work\" they do something for a \
               microsecond while they hold one. Barging pools (a mutex and a condvar, a channel) let whoever runs \
               take what was put: many gets a second, and some thread waits very long. Pools that hand each object \
               to who waits longest are fair, and pay a switch of threads for each get. Bounded bypass is to have \
               both. \"Fairness\" is the fewest gets of a thread over the most, 1 at best; \"overtakes\" is how many \
               later arrivals went before one waiter, at most, where somebody counts it. In the plots, good is to \
               the right and down.",
        kind: Kind::Waits,
    },
    Chapter {
        bench: Bench::Remote,
        title: "One thread gets, another puts",
        text: "Items travel from a thread that gets them to one that puts them, through a ring that is the same for \
               all: what caches of one thread are bad at, since one only fills and the other only empties. `the \
               ring alone` is what that costs by itself. Nanoseconds an item.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Burst,
        title: "Sixty-four gets, sixty-four puts",
        text: "A thread gets 64 items and then puts them all, which is more than a small cache holds. Nanoseconds a \
               pair.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Churn,
        title: "Threads that come and go",
        text: "Threads that come, do 64 pairs, and go: what a thread's first get and its exit cost. Nanoseconds for \
               the life of a thread. Most of it is the starting of a thread, which is in every figure alike.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Bytes,
        title: "Larger items",
        text: "The pair of one thread with items of several sizes, of which one byte is used. A pool hands out what \
               is there, so that the size should not matter; an allocator has to find it.",
        kind: Kind::Sizes,
    },
    Chapter {
        bench: Bench::Scale,
        title: "Pages, waiters, pools",
        text: "What ours costs where there is much of something, and how many times its cost at the smallest number \
               that is. `pages`: a pair in a pool that holds so many idle pages, and one of 48 items at once, \
               which go beyond a thread's cache. `waiters`: so many tasks wait for one object; a put serves the \
               oldest of them, which waits anew. `pools`: one thread goes round so many pools. Flat is good: nothing \
               on these paths looks through a list.",
        kind: Kind::Scales,
    },
    Chapter {
        bench: Bench::Create,
        title: "Making a pool",
        text: "A pool with room for a million items is built; nothing is got from it. Its tables are reserved, and \
               the kernel backs them as they are used. Nanoseconds in all.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Memory,
        title: "Memory",
        text: "What the process has resident for each item of a pool, besides the item, when all of them have been \
               got and put. All of it is out of band: items are aligned as was asked for, and nothing is written \
               into them.",
        kind: Kind::Memory,
    },
    Chapter {
        bench: Bench::Spans,
        title: "Spans of an arena",
        text: "What a pool takes its pages from, by itself. So many spans are out, and take so many percent of all \
               quanta; a random one is freed, and one of a random shape is taken. Nanoseconds for both, on one \
               thread. It was full once, was freed at random, and then about as many came and went as are out. The shapes: four quanta at a multiple of four; 1, 2, 4, 8 or 16 quanta, each at a multiple \
               of its length; 1 to 16 quanta anywhere. \"Empty\" is a span that is taken and freed where nothing \
               else is out. \"Failed\" is how many found no room, which at a high fill is a matter of \
               fragmentation. `ours` is an arena of numbers, and has its lock inside; the others are for one \
               thread, and are behind a mutex of parking_lot, but for the rows that say so. `ours, with memory` \
               has each span committed, which asks the kernel. Each takes part with the shapes that it knows: \
               offset-allocator knows no alignment, buddy_system_allocator only powers of two, range-alloc \
               walks through all free ranges and is left out where that takes too long. rlsf serves bytes, with \
               headers in the memory itself: a quantum is one of its granules. Who is freed and what is \
               taken is chosen before the clock is read; `the harness alone` is what is left of it.",
        kind: Kind::Spans,
    },
    Chapter {
        bench: Bench::Committed,
        title: "Memory from an arena",
        text: "The same with 16 KiB of memory that may be written to, a thousand of them out, and with a byte \
               written to each. `ours` keeps what was freed; `ours, discarding` gives it back to the kernel at \
               once, as munmap does. They and the allocators align it to 16 KiB, mmap to a page.",
        kind: Kind::Bars,
    },
    Chapter {
        bench: Bench::Large,
        title: "A large span of a full arena",
        text: "Threads storm an arena of 4,096 quanta: each has its share of single quanta, together so many percent \
               of all, and goes on freeing a random one and taking another. One more thread asks for a large span, \
               and waits for it. `ours` queues it, and lets only so many singles overtake it. The others are \
               behind a mutex and a condvar, and whoever comes first takes what is free: it may wait for ever, and \
               is given up after a while. \"Overtaken\" is how many singles were granted while one waited, at \
               most; it is counted in a pass of its own. A time behind `>` is that of one that was given up. \
               What the waiting costs is in the last column.",
        kind: Kind::Large,
    },
    Chapter {
        bench: Bench::Moving,
        title: "Moving a page",
        text: "All pages in one half of 2,048 frames are moved to the other half, and back, while nobody has them \
               pinned. Nanoseconds a page, on one thread. `ours` is `Frames::compact`, which looks for a free \
               frame, takes the page from those who would pin it, and frees the old frame. `copy + mmap` is \
               the rest by itself: the frame is copied, and the page's address is mapped onto the copy; `copy \
               alone` is without the system call. Pages are scattered, so that each is a mapping by \
               itself. A protected page is mapped inaccessible, and it is its next pin that pays for finding the \
               frame; the others are mapped with it.",
        kind: Kind::Bars,
    },
];

impl Chapter {
    /// The tables of the bench, each with a heading of its own if it has one.
    pub(crate) fn tables(&self, run: &Run) -> Vec<(Option<String>, Grid)> {
        match self.kind {
            Kind::Waits => {
                let table = |shape: &Shape<'_>| (Some(shape.name()), tables::waits(&shape.subjects));
                Shape::all(run).iter().map(table).collect()
            }
            Kind::Memory => vec![(None, tables::memory(run))],
            Kind::Scales => vec![(None, tables::scales(run))],
            Kind::Spans => spans(run),
            Kind::Large => {
                let table = |place: Place<'_>| (Some(place.shape.to_owned()), tables::large(run, place));
                run.places(Bench::Large).into_iter().map(table).collect()
            }
            Kind::Bars | Kind::Threads | Kind::Sizes => vec![(None, tables::bench(run, self.bench))],
        }
    }

    /// Its plots. None where there is nothing to compare.
    pub(crate) fn plots(&self, run: &Run) -> Vec<Plot> {
        match self.kind {
            Kind::Bars => plot::bars(run, self.bench, self.title),
            Kind::Threads => plot::over_threads(run, self.bench, self.title).into_iter().collect(),
            Kind::Sizes => plot::over_sizes(run, self.bench, self.title).into_iter().collect(),
            Kind::Scales => plot::over_scales(run, self.title).into_iter().collect(),
            Kind::Waits => Shape::all(run).iter().filter_map(|shape| plot::waits(run, shape)).collect(),
            Kind::Spans => plot::over_live(run, self.title),
            Kind::Memory | Kind::Large => Vec::new(),
        }
    }
}

fn spans(run: &Run) -> Vec<(Option<String>, Grid)> {
    let empty = Filled::empty(run);
    let names = empty.iter().map(|place| place.shape.to_owned()).collect();
    let filled = Filled::all(run).into_iter().map(|filled| {
        let (places, names) = filled.columns();
        (Some(filled.name()), tables::in_places(run, &places, names))
    });
    let empty =
        (!empty.is_empty()).then(|| (Some("Empty".to_owned()), tables::in_places(run, &empty, names)));
    empty.into_iter().chain(filled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_a_figure_of_a_run() {
        for chapter in &CHAPTERS {
            assert!(!chapter.text.contains(" ns"), "{}", chapter.bench);
            assert!(!chapter.text.contains("  "), "{}", chapter.bench);
        }
    }
}
