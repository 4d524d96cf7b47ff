//! How loom explores a world.

use std::path::Path;

use kva::sync::Arc;

use super::Witness;

pub(super) fn check(
    count: &Arc<Witness>,
    preemptions: Option<usize>,
    world: impl Fn() + Send + Sync + 'static,
) {
    let count = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    // A guard against endless executions, not a bound on what is explored: an
    // execution that reaches it fails.
    builder.max_branches = 20_000;
    // Not from the environment: a report must not say "exhaustive" of less.
    (builder.max_permutations, builder.max_duration) = (None, None);
    builder.check(move || {
        count.saw(true);
        world();
    });
}

/// As the report has it.
pub(super) fn kind(bound: Option<(usize, &str)>) -> String {
    bound.map_or("exhaustive".to_owned(), |(n, why)| format!("bounded: {n} preemptions, {why}"))
}

/// Whether what can happen has happened, once a model has ended.
pub(super) const fn finds_all() -> bool {
    true
}

/// What a twin is caught with: the execution is found again by looking for it again.
pub(super) fn confirmed<R>(_: &str, caught: impl Fn(&[(&str, &Path)]) -> R) -> R {
    caught(&[])
}
