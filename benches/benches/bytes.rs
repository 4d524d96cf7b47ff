//! Objects of 64 bytes to 256 KiB.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    use benches::case::Bench;
    benches::criterion::run(&[Bench::Bytes], |_| ());
}
