//! This workspace's pool, once for each way in which it has objects made.

use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use pool::{AsyncFactory, Factory, Growers, ObjectFactory, Pool};

use crate::suite::census::{Object, Refused};
use crate::suite::subject::{BoxFuture, Get, Need, Peer, Probed, Setup, Subject, task, thread};

pub(crate) const OWN_THREAD: Peer = Peer {
    name: "pool/own-thread",
    package: "pool",
    setup: "`Factory`; `high_water` as high as the limit, or 5 where that is asked for; `low_water` where a minimum \
            is; `max_growing(4)` in `spike`, else its default. The creator runs on the getter's thread.",
    lacks: &[(Need::FreeGetter, "the creator runs on the getter's thread, where no put reaches it")],
    build: |setup| {
        let maker = setup.maker.clone();
        Box::pin(ready(blocking(&setup, Factory::new(move || maker.make()))))
    },
};

pub(crate) const GROWERS: Peer = Peer {
    name: "pool/growers",
    package: "pool",
    setup: "`Growers` of 4 threads; water marks and `max_growing` as above. The creator runs on those threads.",
    lacks: &[],
    build: |setup| {
        let maker = setup.maker.clone();
        Box::pin(ready(blocking(&setup, Growers::new(4, move || maker.make()))))
    },
};

pub(crate) const ASYNC: Peer = Peer {
    name: "pool/async",
    package: "pool",
    setup: "`AsyncFactory`; water marks and `max_growing` as above. The creator is a future that those who wait drive.",
    lacks: &[],
    build: |setup| {
        let maker = setup.maker.clone();
        let factory = AsyncFactory::new(move || maker.clone().make_async());
        Box::pin(ready(build(&setup, factory).map(|pool| Arc::new(Tasks(pool)) as Subject)))
    },
};

struct Threads<F: ObjectFactory>(Pool<F::Object, F>);

struct Tasks(Pool<Object, AsyncFactory<Object, Refused>>);

fn blocking<F: ObjectFactory>(setup: &Setup, factory: F) -> anyhow::Result<Subject>
where
    F::Error: Error,
{
    Ok(Arc::new(Threads(build(setup, factory)?)))
}

fn build<F: ObjectFactory>(setup: &Setup, factory: F) -> anyhow::Result<Pool<F::Object, F>> {
    let mut builder = Pool::from_factory(u32::try_from(setup.limit)?, factory)
        .high_water(u32::try_from(setup.keep)?)
        .low_water(u32::try_from(setup.minimum)?);
    if let Some(creates) = setup.creates {
        builder = builder.max_growing(u32::try_from(creates)?);
    }
    Ok(builder.build()?)
}

impl<F: ObjectFactory> Probed for Threads<F>
where
    F::Error: Error,
{
    fn get(&self) -> Get {
        let pool = self.0.clone();
        thread(move |patience| match patience {
            Some(patience) => pool.request().timeout(patience).get_owned(),
            None => pool.get_owned(),
        })
    }

    fn resize(&self, limit: usize) -> BoxFuture<()> {
        resize(&self.0, limit)
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Probed for Tasks {
    fn get(&self) -> Get {
        task(self.0.get_owned_async())
    }

    fn resize(&self, limit: usize) -> BoxFuture<()> {
        resize(&self.0, limit)
    }

    fn close(&self) {
        self.0.close();
    }
}

fn resize<F: ObjectFactory>(pool: &Pool<F::Object, F>, limit: usize) -> BoxFuture<()> {
    let limit = u32::try_from(limit).expect("a small limit");
    pool.set_hard_limit(limit).expect("there is memory");
    Box::pin(ready(()))
}
