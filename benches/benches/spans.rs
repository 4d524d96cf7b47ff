//! Taking spans from an arena and freeing them.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Spans, Bench::Committed], |_| ());
}
