//! A factory's objects have a page each.
//~ E0599: the method `items_per_page` exists for struct

use pool::{Factory, Pool};

fn main() {
    let factory = Factory::new(|| Ok::<_, std::io::Error>(0_u64));
    let _ = Pool::from_factory(1, factory).items_per_page(2);
}
