//! Any thread may be the one that destroys it.
//~ E0277: cannot be sent between threads safely

use std::rc::Rc;

fn main() {
    let _ = pool::Pool::builder(1, || Rc::new(1));
}
