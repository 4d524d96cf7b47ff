//! Cases as benches of Criterion.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};

use crate::case::{Bench, Case, Trial};
use crate::contestants::cases;
use crate::threads::abort_on_panic;

/// How long a scarce case, or one of large spans, goes on for a sample. It is not told how much to do but for how long, since
/// the share of each thread is what is asked.
const SCARCE: Duration = Duration::from_millis(50);

/// Measures all cases of `benches`, and whatever `others` adds.
pub fn run(benches: &[Bench], others: impl FnOnce(&mut Criterion)) {
    abort_on_panic();
    // There are many of them: each is short.
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    let mut criterion = criterion.configure_from_args();
    for case in cases().iter().filter(|case| benches.contains(&case.bench)) {
        bench(&mut criterion, case);
    }
    others(&mut criterion);
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, case: &Case) {
    let mut group = criterion.benchmark_group(case.bench.to_string());
    let threads = if case.threads == 1 { "1 thread" } else { &format!("{} threads", case.threads) };
    let id = BenchmarkId::new(case.subject, format!("{}, {threads}", case.shape));
    // Made when it is first needed: a filter may leave it out.
    let mut trial = None;
    group.bench_function(id, |bencher| {
        let trial = trial.get_or_insert_with(|| case.prepare());
        bencher.iter_custom(|operations| {
            let ns = match trial {
                Trial::Counted(measure) => measure(operations),
                Trial::Tried(measure) => measure(operations).ns,
                Trial::Scarce(measure) => measure(SCARCE).ns(),
                Trial::Large(measure) => measure(SCARCE).ns(),
                Trial::Memory(_) => unreachable!("bytes are not Criterion's"),
            };
            Duration::from_secs_f64(ns * operations as f64 / 1e9)
        });
    });
    group.finish();
}
