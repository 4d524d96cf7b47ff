//! Taking a span from an arena and freeing it.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    benches::criterion::run(&[], span::bench);
}

#[cfg(not(loom))]
mod span {
    use std::hint::black_box;

    use criterion::{Criterion, Throughput};
    use kva::Shape;

    pub(super) fn bench(c: &mut Criterion) {
        let mut group = c.benchmark_group("span");
        group.throughput(Throughput::Elements(1));
        let arena = benches::arena(64 << 20);
        for (len, align) in [(1, 1), (4, 4), (64, 1)] {
            let shape = Shape::aligned(len, align).expect("a good shape");
            group.bench_function(format!("{len}_at_{align}"), |b| {
                b.iter(|| arena.free(arena.try_alloc(black_box(shape)).expect("free")));
            });
        }
        group.finish();
    }
}
