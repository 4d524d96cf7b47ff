//! Spans of memory and of numbers, and frames.

use kva::{AllocError, Arena, Fit, FrameAllocError, Page, Placement, Shape, Span};

use super::super::failure::{self, holds};
use super::super::numbers;
use super::super::stamp::{self, unique};
use super::super::worker::{Cx, Done};
use super::super::world::{LONGEST, QUANTUM};

/// What an allocation came to, if it was not a span. Those that do not wait, or not for ever, may find none.
fn none(error: AllocError, waits: bool) -> Done {
    let ready = !waits && matches!(error, AllocError::Scarce | AllocError::TimedOut);
    holds!(ready, "only what may go wrong does", "{error:?}, where it waits: {waits}");
    Done::Refused
}

/// A power of two, and a length of at most that of [`LONGEST`].
fn shape(cx: &mut Cx) -> Shape {
    Shape::aligned(cx.rng.u32(1..=LONGEST), 1 << cx.rng.u32(..3)).expect("not empty")
}

fn use_memory(cx: &mut Cx, arena: &Arena, span: Span) -> Done {
    let memory = arena.ptr(span).expect("it has memory");
    let (len, me) = (span.len() as usize * QUANTUM, unique());
    // SAFETY: it was taken, and is as long as that.
    unsafe { stamp::take(memory, len, me) };
    cx.linger();
    // SAFETY: as above.
    unsafe { stamp::give(memory, len, me) };
    numbers::free(arena, span);
    Done::Yes
}

pub(super) fn memory(cx: &mut Cx) -> Done {
    let (world, shape) = (cx.world.clone(), shape(cx));
    match world.memory.alloc(shape) {
        Ok(span) => use_memory(cx, &world.memory, span),
        Err(error) => none(error, true),
    }
}

pub(super) fn memory_in_time(cx: &mut Cx) -> Done {
    let (world, shape) = (cx.world.clone(), shape(cx));
    let arena = if cx.rng.bool() { &world.memory } else { &world.quota };
    match arena.alloc_timeout(shape, cx.patience()) {
        Ok(span) => use_memory(cx, arena, span),
        Err(error) => none(error, false),
    }
}

pub(super) fn number(cx: &mut Cx) -> Done {
    let (world, shape) = (cx.world.clone(), shape(cx));
    match world.numbers.arena.alloc(shape) {
        Ok(span) => {
            let _taken = world.numbers.hold(span);
            cx.linger();
            Done::Yes
        }
        Err(error) => none(error, true),
    }
}

fn placement(cx: &mut Cx) -> Option<Placement> {
    let align = 1 << cx.rng.u32(..4);
    let placement = Placement::from(Shape::aligned(cx.rng.u32(1..=numbers::LONGEST), align).ok()?);
    match cx.rng.u32(..5) {
        0 => placement.phase(cx.rng.u32(..align)).ok(),
        1 => placement.nocross(8).ok(),
        2 => placement.within(8..40).ok(),
        3 => Some(placement.fit(Fit::Best)),
        _ => Some(placement),
    }
}

pub(super) fn number_placed(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let Some(placement) = placement(cx) else { return Done::Refused };
    match world.numbers.arena.alloc_timeout(placement, cx.patience()) {
        Ok(span) => {
            let _taken = world.numbers.hold(span);
            cx.linger();
            Done::Yes
        }
        Err(error) => none(error, false),
    }
}

pub(super) fn number_at(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let start = cx.rng.u32(..40);
    match world.numbers.arena.try_alloc_at(start..start + cx.rng.u32(1..4)) {
        Ok(span) => {
            drop(world.numbers.hold(span));
            Done::Yes
        }
        Err(error) => none(error, false),
    }
}

/// Takes one, and leaves it to who needs it.
pub(super) fn number_spare(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    match world.numbers.arena.try_alloc(Shape::new(cx.rng.u32(1..4)).expect("not empty")) {
        Ok(span) => {
            world.numbers.spare(world.numbers.hold(span));
            Done::Yes
        }
        Err(error) => none(error, false),
    }
}

pub(super) fn number_moved(cx: &mut Cx) -> Done {
    if cx.world.numbers.shuffle(cx.rng.u32(1..3)) { Done::Yes } else { Done::Refused }
}

pub(super) fn number_of_quota(cx: &mut Cx) -> Done {
    let (world, shape) = (cx.world.clone(), shape(cx));
    match world.numbers.lent.alloc(shape) {
        Ok(span) => {
            let _taken = world.numbers.hold(span);
            let within = world.numbers.is_within_quota();
            holds!(within, "a client has at most its quota", "{:?}", world.numbers.lent);
            cx.linger();
            Done::Yes
        }
        Err(error) => none(error, true),
    }
}

fn no_frames(error: FrameAllocError, waits: bool) -> Done {
    match error {
        FrameAllocError::Alloc(error) => none(error, waits),
        error => {
            failure::report(format!("only what may go wrong does: {error:?}"));
            Done::Refused
        }
    }
}

fn assert_filled(page: &Page, byte: u8) {
    let filled = page.pin().iter().all(|it| *it == byte);
    holds!(filled, "a page that is moved keeps its contents", "{byte} in {page:?}");
}

pub(super) fn page(cx: &mut Cx) -> Done {
    let (world, byte) = (cx.world.clone(), cx.rng.u8(1..0x70));
    let (page, waits) = match cx.rng.u32(..3) {
        0 => (world.frames.try_page(), false),
        1 => (world.frames.page_timeout(cx.patience()), false),
        _ => (world.frames.page(), true),
    };
    match page {
        Ok(mut page) => {
            page.pin_mut().fill(byte);
            cx.linger();
            assert_filled(&page, byte);
            Done::Yes
        }
        Err(error) => no_frames(error, waits),
    }
}

/// Keeps a page for others, or takes one of them back.
pub(super) fn page_kept(cx: &mut Cx) -> Done {
    const MOST: usize = 20;
    let (world, byte) = (cx.world.clone(), cx.rng.u8(1..0x70));
    let kept = {
        let mut shelf = world.shelf.lock();
        let at = cx.rng.usize(..MOST);
        (at < shelf.len()).then(|| shelf.swap_remove(at))
    };
    if let Some((page, byte)) = kept {
        assert_filled(&page, byte);
        return Done::Yes;
    }
    match world.frames.try_page() {
        Ok(mut page) => {
            page.pin_mut().fill(byte);
            let mut shelf = world.shelf.lock();
            if shelf.len() < MOST {
                shelf.push((page, byte));
            }
            Done::Yes
        }
        Err(error) => no_frames(error, false),
    }
}

pub(super) fn run(cx: &mut Cx) -> Done {
    let world = cx.world.clone();
    let shape = Shape::aligned(4, 4).expect("not empty");
    let (run, waits) = match cx.rng.u32(..3) {
        0 => (world.frames.try_run(shape), false),
        1 => (world.frames.run_timeout(shape, cx.patience()), false),
        _ => (world.frames.run(shape), true),
    };
    match run {
        Ok(mut run) => {
            let byte = cx.rng.u8(1..0x70);
            run.fill(byte);
            cx.linger();
            holds!(run.iter().all(|it| *it == byte), "no frame is lent to two", "{byte} in {run:?}");
            Done::Yes
        }
        Err(error) => no_frames(error, waits),
    }
}

pub(super) fn compact(cx: &mut Cx) -> Done {
    let start = cx.rng.u32(..40);
    cx.world.frames.compact(start..start + 8);
    Done::Yes
}
