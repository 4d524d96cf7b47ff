//! A factory that does as it is told, when it is told to: at once, late, too late, or never.

use std::alloc::Layout;
use std::ptr::NonNull;

use kva::sync::{Arc, Mutex};
use kva::{Answer, Committed, Grow, GrowId};
use pool::{Backend, ObjectFactory, Place};

use super::super::objects::{Object, OutOfStock, Shop};

type Token = Grow<Place<Object>, OutOfStock>;
type Promise = Committed<Place<Object>, OutOfStock>;

/// A request that it has.
pub(super) enum Request {
    Asked(Token),
    /// It has begun, and cannot be told to stop.
    Begun(Promise),
}

/// How it ends one.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Deliver,
    Refuse,
    GiveUp,
    /// Without a word.
    Forget,
}

#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) shop: Shop,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// The next is answered at once.
    now: Option<Result<(), OutOfStock>>,
}

impl Scripted {
    pub(super) fn new(shop: Shop) -> Self {
        Self { shop, state: Arc::default() }
    }

    pub(super) fn answer_now(&self, answer: Result<(), OutOfStock>) {
        self.state.lock().now = Some(answer);
    }

    pub(super) fn requests(&self) -> usize {
        self.state.lock().requests.len()
    }

    pub(super) fn begun(&self) -> usize {
        self.state.lock().requests.iter().filter(|request| matches!(request, Request::Begun(_))).count()
    }

    /// Begins with one, if it is wanted still.
    pub(super) fn begin(&self, at: usize) {
        let request = self.state.lock().requests.remove(at);
        let request = match request {
            Request::Asked(token) => token.commit().map_or_else(Request::Asked, Request::Begun),
            begun @ Request::Begun(_) => begun,
        };
        self.state.lock().requests.push(request);
    }

    /// Ends one. Whether it was wanted still.
    pub(super) fn end(&self, at: usize, end: End) -> bool {
        let request = self.state.lock().requests.remove(at);
        let promise = match request {
            Request::Begun(promise) => promise,
            Request::Asked(token) => match token.commit() {
                Ok(promise) => promise,
                Err(_) => return false,
            },
        };
        match end {
            End::Deliver => promise.deliver(Place::new(self.shop.make())),
            End::Refuse => promise.refuse(OutOfStock),
            End::GiveUp => promise.give_up(),
            End::Forget => drop(promise),
        }
        true
    }
}

// SAFETY: each page is a place of its own on the heap, which is the pool's until it is released.
unsafe impl Backend for Scripted {
    type Page = Place<Object>;
    type Error = OutOfStock;

    const CREATES: bool = true;

    fn granule(&self) -> Option<usize> {
        Some(1)
    }
    fn ask(&self, _: Layout, grow: Token) -> Answer<Place<Object>, OutOfStock> {
        let Some(answer) = self.state.lock().now.take() else {
            self.state.lock().requests.push(Request::Asked(grow));
            return Answer::Later;
        };
        match grow.commit() {
            Ok(promise) => Answer::Now(promise, answer.map(|()| Place::new(self.shop.make()))),
            Err(_) => Answer::Withdrawn,
        }
    }
    fn try_page(&self, _: Layout) -> Result<Option<Place<Object>>, OutOfStock> {
        Ok(None)
    }
    fn empty_page(&self) -> Option<Place<Object>> {
        Some(Place::empty())
    }
    fn forget(&self, id: GrowId) {
        let is_it = |request: &mut Request| matches!(request, Request::Asked(token) if token.id() == id);
        let forgotten: Vec<_> = self.state.lock().requests.extract_if(.., is_it).collect();
        drop(forgotten);
    }
    fn release(&self, page: Place<Object>, _: Layout) {
        page.free();
    }
    fn base(&self, page: &Place<Object>) -> NonNull<u8> {
        page.base()
    }
}

// SAFETY: a place is delivered with the object in it.
unsafe impl ObjectFactory for Scripted {
    type Object = Object;
}
