//! One thread gets, another puts.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Remote], |_| ());
}
