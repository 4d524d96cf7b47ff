//! Moving pages to other frames.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Moving], |_| ());
}
