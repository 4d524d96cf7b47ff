//! What workers do, by name and by weight.

mod arenas;
mod choosing;
mod factories;
mod knobs;
mod raw;
mod tasks;
mod typed;

use std::pin::Pin;

use super::worker::{Cx, Done};

/// What a thread does.
pub(crate) type Action = fn(&mut Cx) -> Done;
/// What a task does.
pub(crate) type Task = for<'c> fn(&'c mut Cx) -> Pin<Box<dyn Future<Output = Done> + Send + 'c>>;

/// How often each is drawn is its weight in the sum of all.
pub(crate) const ACTIONS: &[(&str, u32, Action)] = &[
    ("raw get", 30, raw::get),
    ("raw get, by handle", 20, raw::get_by_handle),
    ("raw get, in time", 10, raw::get_in_time),
    ("raw try", 10, raw::try_get),
    ("raw get, strict", 20, raw::get_strictly),
    ("raw several", 10, raw::get_many),
    ("raw several, in time", 6, raw::get_many_in_time),
    ("raw critical", 6, raw::get_critical),
    ("raw beside the reserve", 6, raw::get_beside_reserve),
    ("raw asleep in the back-end", 12, raw::get_classic),
    ("raw, by a thief", 12, raw::steal),
    ("raw primed", 6, raw::get_primed),
    ("raw wrong puts", 2, raw::put_wrongly),
    ("raw kept to the thread's end", 2, raw::keep),
    ("raw sent", 8, raw::send),
    ("received", 12, raw::receive),
    ("buffer", 6, raw::buffer),
    ("collection", 4, raw::collection),
    ("pieces, all or none", 5, raw::pieces),
    ("pieces as they come", 5, raw::pieces_as_they_come),
    ("object", 20, typed::get),
    ("object, by handle", 10, typed::get_by_handle),
    ("object, in time", 8, typed::get_in_time),
    ("objects", 6, typed::get_many),
    ("reservation", 6, typed::reserve),
    ("reservation, now", 4, typed::try_reserve),
    ("object sent", 4, typed::send),
    ("object discarded", 4, typed::discard),
    ("object detached and attached", 4, typed::attach),
    ("object of the resized", 10, typed::get_resized),
    ("objects of the resized", 4, typed::get_many_resized),
    ("factory", 3, factories::file),
    ("growers", 4, factories::session),
    ("growers, page timeout", 3, factories::session_in_time),
    ("async factory, by a thread", 4, factories::link),
    ("async factory, several", 2, factories::links),
    ("spawned factory, by a thread", 4, factories::job),
    ("factory object discarded", 2, factories::discard),
    ("choose over pools", 8, choosing::pools),
    ("choose over factories", 3, choosing::factories),
    ("choose with a close", 3, choosing::closing),
    ("choose with a nack", 3, choosing::nack),
    ("span of memory", 6, arenas::memory),
    ("span of memory, in time", 4, arenas::memory_in_time),
    ("number", 10, arenas::number),
    ("number, placed", 6, arenas::number_placed),
    ("number, at", 3, arenas::number_at),
    ("number, spare", 5, arenas::number_spare),
    ("number, moved", 6, arenas::number_moved),
    ("number of a quota", 5, arenas::number_of_quota),
    ("frame page", 8, arenas::page),
    ("frame page kept", 4, arenas::page_kept),
    ("frame run", 4, arenas::run),
    ("frames compacted", 1, arenas::compact),
    ("limit changed", 3, knobs::limit),
    ("water changed", 2, knobs::water),
    ("reserve changed", 1, knobs::reserve),
    ("drained", 2, knobs::drain),
    ("primed", 1, knobs::prime),
    ("pool built", 1, knobs::build),
    ("pool of somebody's", 4, knobs::visit),
    ("pool closed", 1, knobs::close),
    ("looked at", 1, knobs::look),
];

/// The same of tasks.
pub(crate) const TASKS: &[(&str, u32, Task)] = &[
    ("task: raw", 20, |cx| Box::pin(tasks::raw(cx))),
    ("task: raw, in time", 10, |cx| Box::pin(tasks::raw_in_time(cx))),
    ("task: dropped in the middle", 20, |cx| Box::pin(tasks::dropped(cx))),
    ("task: object", 20, |cx| Box::pin(tasks::object(cx))),
    ("task: reservation", 8, |cx| Box::pin(tasks::reserve(cx))),
    ("task: pieces", 5, |cx| Box::pin(tasks::pieces(cx))),
    ("task: buffer", 5, |cx| Box::pin(tasks::buffer(cx))),
    ("task: growers", 6, |cx| Box::pin(tasks::session(cx))),
    ("task: async factory", 8, |cx| Box::pin(tasks::link(cx))),
    ("task: spawned factory", 8, |cx| Box::pin(tasks::job(cx))),
    ("task: choose", 10, |cx| Box::pin(tasks::choose_any(cx))),
    ("task: span", 10, |cx| Box::pin(tasks::span(cx))),
];
