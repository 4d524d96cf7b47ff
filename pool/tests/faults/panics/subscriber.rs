//! A subscriber of events, whose calls are counted for who acts on the thread.

#[cfg(feature = "tracing")]
mod listens {
    use std::cell::RefCell;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use crate::fuse::Fuse;

    thread_local! {
        static HEARS: RefCell<Option<Fuse>> = const { RefCell::new(None) };
    }

    /// The process's, so other tests have it too: to them it does nothing.
    struct Listens;

    impl Subscriber for Listens {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "pool"
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            unreachable!("there are no spans")
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            let fuse = HEARS.with_borrow(Clone::clone);
            if let Some(fuse) = fuse {
                fuse.call("subscriber");
            }
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// What a subscriber is told of `act` is a call too.
    pub(crate) fn hears(fuse: &Fuse, act: impl FnOnce()) {
        // Once: there is no other.
        let _ = tracing::subscriber::set_global_default(Listens);
        HEARS.set(Some(fuse.clone()));
        act();
        HEARS.set(None);
    }
}

#[cfg(feature = "tracing")]
pub(super) use listens::hears;

/// Nobody is told.
#[cfg(not(feature = "tracing"))]
pub(super) fn hears(_: &crate::fuse::Fuse, act: impl FnOnce()) {
    act();
}
