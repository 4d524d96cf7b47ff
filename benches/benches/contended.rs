//! 1, 2, 4 and 8 threads at one subject.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Contended], |_| ());
}
