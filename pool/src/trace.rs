//! Events, where the feature `tracing` is on; nothing at all where it is off.
//!
//! Emitted on the slow paths only, and with no lock held: a subscriber is caller code (P8).

/// Tells that something happened to the pool of a core.
macro_rules! event {
    ($core:expr, $message:literal $(, $field:ident = $value:expr)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "pool", pool = $core.label(), $($field = ?$value,)* $message);
        #[cfg(not(feature = "tracing"))]
        {
            let _ = &$core;
            $(let _ = || _ = &$value;)*
        }
    }};
}

pub(crate) use event;
