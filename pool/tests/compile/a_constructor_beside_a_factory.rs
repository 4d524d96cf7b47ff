//! A factory makes its objects itself: what would the constructor be for?
//~ E0080: `Pool::from_factory` pools them

use pool::{Factory, Pool};

fn main() {
    let factory = Factory::new(|| Ok::<_, std::io::Error>(0_u64));
    let pool = Pool::builder(1, || 0_u64).build(factory).unwrap();
    drop(pool.get());
}
