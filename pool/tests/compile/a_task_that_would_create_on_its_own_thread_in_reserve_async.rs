//! A creation on the getter's own thread would block the executor.
//~ E0080: would block the executor

use std::fs::File;

use pool::{Factory, Pool};

fn main() {
    let pool = Pool::from_factory(1, Factory::new(|| File::open("Cargo.toml"))).build().unwrap();
    drop(pool.request().reserve_async(1));
}
