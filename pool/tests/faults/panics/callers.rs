//! Callers' code of every kind, each call of which is counted.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{AsyncFactory, Builder, Created, Objects, Pool};

use super::HARD_LIMIT;
use crate::fuse::Fuse;

#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) made: AtomicUsize,
    pub(super) ended: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Object {
    fuse: Fuse,
    lives: Arc<Lives>,
    _bytes: [u8; 64],
}

impl Object {
    pub(super) fn new(fuse: &Fuse, lives: &Arc<Lives>) -> Self {
        lives.made.fetch_add(1, SeqCst);
        Self { fuse: fuse.clone(), lives: lives.clone(), _bytes: [0; 64] }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.lives.ended.fetch_add(1, SeqCst);
        self.fuse.call("object's destructor");
    }
}

/// A future of callers' code: its polls and its drop are calls, and it is ready at its second poll.
pub(super) struct Steps {
    fuse: Fuse,
    kinds: (&'static str, &'static str),
    polled: bool,
}

impl Steps {
    pub(super) fn new(fuse: &Fuse, kinds: (&'static str, &'static str)) -> Self {
        Self { fuse: fuse.clone(), kinds, polled: false }
    }
}

impl Future for Steps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.fuse.call(self.kinds.0);
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(());
        }
        // By a clone that is dropped, as executors do.
        self.fuse.pause(|| context.waker().wake_by_ref());
        Poll::Pending
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.fuse.call(self.kinds.1);
    }
}

/// Is dropped after it made an object.
pub(super) struct Creation {
    steps: Steps,
    fuse: Fuse,
    lives: Arc<Lives>,
}

impl Creation {
    /// What a factory is told to make, which is a call too.
    pub(super) fn begin(fuse: &Fuse, lives: &Arc<Lives>) -> Self {
        fuse.call("create's call");
        let steps = Steps::new(fuse, ("create's poll", "create's drop"));
        Self { steps, fuse: fuse.clone(), lives: lives.clone() }
    }
}

impl Future for Creation {
    type Output = Result<Object, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let made = Pin::new(&mut self.steps).poll(context);
        made.map(|()| Ok(Object::new(&self.fuse, &self.lives)))
    }
}

/// A sleep of a runtime's.
pub(super) struct Sleep(Fuse, Instant);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.call("timer's poll");
        if Instant::now() < self.1 { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.0.call("timer's drop");
    }
}

pub(super) fn built<Of>(builder: Builder<Of>, fuse: &Fuse) -> Builder<Of> {
    let fuse = fuse.clone();
    builder.name("with callers' code that panics").bypass(2).timer(move |moment| {
        fuse.call("timer's call");
        Sleep(fuse.clone(), moment)
    })
}

pub(super) fn carved(fuse: &Fuse, lives: &Arc<Lives>) -> Builder<Objects<Object>> {
    let (constructs, lives) = (fuse.clone(), lives.clone());
    let construct = move || {
        constructs.call("constructor");
        Object::new(&constructs, &lives)
    };
    let (resets, validates, looked) = (fuse.clone(), fuse.clone(), AtomicUsize::new(0));
    built(Pool::builder(HARD_LIMIT, construct), fuse)
        .items_per_page(1)
        .reset(move |_| resets.call("reset"))
        .validate(move |_| {
            validates.call("validate");
            looked.fetch_add(1, SeqCst) % 3 != 2
        })
}

/// What is made by futures, and validated by futures.
pub(super) fn made(fuse: &Fuse, lives: &Arc<Lives>) -> Builder<Created<Makes>> {
    let (creates, counts) = (fuse.clone(), lives.clone());
    let factory: Makes = AsyncFactory::new(move || Creation::begin(&creates, &counts));
    let (resets, validates) = (fuse.clone(), fuse.clone());
    let looked = Arc::new(AtomicUsize::new(0));
    built(Pool::from_factory(HARD_LIMIT, factory), fuse).reset(move |_| resets.call("reset")).validate_async(
        move |_| {
            validates.call("validation's call");
            let mut steps = Steps::new(&validates, ("validation's poll", "validation's drop"));
            let looked = looked.clone();
            Box::pin(async move {
                poll_fn(|context| Pin::new(&mut steps).poll(context)).await;
                looked.fetch_add(1, SeqCst) % 3 != 2
            })
        },
    )
}

pub(super) type Makes = AsyncFactory<Object, Infallible>;
