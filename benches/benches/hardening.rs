//! A get and a put with each knob of a hardened pool alone, with none and with all; and the same with a
//! page that comes and goes.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::hardening::{SIZES, Subject, VARIANTS, WORKS};
    use criterion::{BenchmarkId, Criterion};

    benches::threads::abort_on_panic();
    let mut criterion = Criterion::default().configure_from_args();
    for bytes in SIZES {
        for (what, work, _) in WORKS {
            let mut group = criterion.benchmark_group(format!("hardening, {what}"));
            for variant in &VARIANTS {
                let id = BenchmarkId::new(variant.name, format!("{bytes} B"));
                // Made when it is first needed: a filter may leave it out.
                let mut subject = None;
                group.bench_function(id, |bencher| {
                    let subject = subject.get_or_insert_with(|| Subject::new(variant, bytes));
                    bencher.iter_custom(|times| work(subject, times));
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
