//! The pool may keep it as long as it likes.
//~ E0597: does not live long enough

fn main() {
    let local = String::from("gone before the pool is");
    let borrowed = local.as_str();
    let _ = pool::Pool::builder(1, move || borrowed);
}
