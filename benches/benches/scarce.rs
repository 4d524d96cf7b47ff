//! More threads than objects.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Scarce], |_| ());
}
