//! Many pages, many who wait, many pools; and making a large pool.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Scale, Bench::Create], |_| ());
}
