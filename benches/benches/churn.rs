//! Threads that come and go.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Churn], |_| ());
}
