//! Several getters may call it at once.
//~ E0277: cannot be shared between threads safely

use std::cell::Cell;

fn main() {
    let count = Cell::new(0);
    let _ = pool::Pool::builder(1, move || count.replace(1));
}
