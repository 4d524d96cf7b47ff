//! It is handed on to whoever waits, on whatever thread.
//~ : future cannot be sent between threads safely

use std::rc::Rc;

use pool::{AsyncFactory, Pool};

async fn create() -> Result<u64, std::io::Error> {
    let here = Rc::new(7);
    std::future::ready(()).await;
    Ok(*here)
}

fn main() {
    let _ = Pool::from_factory(1, AsyncFactory::new(create));
}
