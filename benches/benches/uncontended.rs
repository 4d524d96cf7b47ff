//! A get and a put by one thread, and what the front adds to them.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    benches::criterion::run(&[benches::case::Bench::Uncontended], front::bench);
}

#[cfg(not(loom))]
mod front {
    use std::alloc::Layout;
    use std::hint::black_box;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use criterion::{Criterion, Throughput};
    use pool::{Pool, RawPool};

    /// Guards, a future that is ready, and a page that comes and goes, which is where events would
    /// be emitted.
    pub(super) fn bench(c: &mut Criterion) {
        let mut group = c.benchmark_group("front");
        group.throughput(Throughput::Elements(1));
        let objects = Pool::builder(16, || [0_u64; 8]).build(benches::arena(1 << 20)).expect("a good pool");
        group.bench_function("item", |b| b.iter(|| black_box(objects.get().expect("an item"))));
        group.bench_function("owned", |b| b.iter(|| black_box(objects.get_owned().expect("an item"))));
        group.bench_function("future", |b| {
            b.iter(|| {
                let mut future = pin!(objects.get_async());
                let item = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                black_box(item.is_ready())
            });
        });
        let pages = RawPool::builder(Layout::new::<[u64; 512]>(), 64).build(benches::arena(16 << 20));
        let pages = pages.expect("a good pool");
        group.bench_function("page", |b| {
            b.iter(|| {
                let item = pages.get().expect("an item");
                // SAFETY: nobody uses it.
                unsafe { pages.put(black_box(item)) }.expect("it is out");
                pages.drain()
            });
        });
        group.finish();
    }
}
