//! A get and a put by one thread, beside what people would use instead.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
mod uncontended {
    use std::hint::black_box;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use criterion::{Criterion, Throughput, criterion_group};
    use kva::Shape;
    use pool::Pool;

    fn pair(c: &mut Criterion) {
        let mut group = c.benchmark_group("pair");
        group.throughput(Throughput::Elements(1));
        for bytes in [64, 4096, 256 * 1024] {
            let pool = benches::pool(bytes);
            group.bench_function(format!("pool/{bytes}"), |b| {
                b.iter(|| {
                    let item = pool.get().expect("an item");
                    // SAFETY: nobody uses it.
                    unsafe { pool.put(black_box(item)) }.expect("it is out");
                });
            });
            group.bench_function(format!("malloc/{bytes}"), |b| {
                b.iter(|| drop(black_box(Vec::<u8>::with_capacity(bytes))));
            });
        }
        let stack = parking_lot_stack();
        group.bench_function("mutex_vec", |b| {
            b.iter(|| {
                let item = stack.lock().pop().expect("an item");
                stack.lock().push(black_box(item));
            });
        });
        group.finish();
    }

    /// What the front adds: guards, a future that is ready, and a page that comes and goes, which
    /// is where events would be emitted.
    fn front(c: &mut Criterion) {
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
        let pages = benches::pool(4096);
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

    #[allow(clippy::disallowed_types, reason = "a peer, measured as people write it")]
    fn parking_lot_stack() -> parking_lot::Mutex<Vec<usize>> {
        parking_lot::Mutex::new(vec![0])
    }

    fn spans(c: &mut Criterion) {
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

    criterion_group!(group, pair, front, spans);
}

#[cfg(not(loom))]
fn main() {
    uncontended::group();
    criterion::Criterion::default().configure_from_args().final_summary();
}
