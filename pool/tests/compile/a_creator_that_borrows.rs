//! The pool may call it as long as it lives, on any thread.
//~ E0597: does not live long enough

use pool::{Growers, Pool};

fn main() {
    let local = String::from("gone before the pool is");
    let borrowed = local.as_str();
    let _ = Pool::from_factory(1, Growers::new(1, move || Ok::<_, std::io::Error>(borrowed)));
}
