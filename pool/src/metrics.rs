//! The registered pools, for the `metrics` crate.

use metrics::{counter, gauge};

use crate::registry::registered;

/// Publishes the figures of all [registered](crate::registered) pools through the recorder of
/// the `metrics` crate, labelled by `pool`. Call it as often as you collect them: between
/// calls it costs nothing.
///
/// ```
/// pool::publish_metrics();
/// ```
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub fn publish_metrics() {
    for pool in &*registered() {
        let name = pool.name.clone().unwrap_or_default();
        let gauges = [
            ("pool_pages", f64::from(pool.pages)),
            ("pool_pages_limit", f64::from(pool.hard_limit)),
            ("pool_pages_pending", f64::from(pool.growing)),
            ("pool_pages_low_water", f64::from(pool.low_water)),
            ("pool_bytes_held", pool.held_bytes() as f64),
            ("pool_bytes_unused", pool.unused_bytes() as f64),
            ("pool_items_idle", pool.idle as f64),
            ("pool_items_out", pool.out as f64),
            ("pool_items_out_most", pool.most_out as f64),
            ("pool_waiters", pool.waiting as f64),
            ("pool_wait_seconds_p50", pool.waits.p50.as_secs_f64()),
            ("pool_wait_seconds_p99", pool.waits.p99.as_secs_f64()),
            ("pool_wait_seconds_max", pool.waits.max.as_secs_f64()),
        ];
        for (metric, value) in gauges {
            gauge!(metric, "pool" => name.clone()).set(value);
        }
        let failures = pool.failures;
        let counters = [
            ("pool_gets_total", pool.gets),
            ("pool_puts_total", pool.puts),
            ("pool_waits_total", pool.waits.served),
            ("pool_grows_total", pool.grows),
            ("pool_grows_refused_total", pool.refused),
            ("pool_grows_withdrawn_total", pool.withdrawn),
            ("pool_pages_released_total", pool.released),
            ("pool_pages_yielded_total", pool.yielded),
            ("pool_pages_released_to_heirs_total", pool.released_to_heirs),
            ("pool_pages_released_below_low_total", pool.released_below_low),
            ("pool_pages_stolen_total", pool.stolen),
            ("pool_objects_invalid_total", pool.invalid),
        ];
        for (metric, value) in counters {
            counter!(metric, "pool" => name.clone()).absolute(value);
        }
        let causes = [
            ("exhausted", failures.exhausted),
            ("scarce", failures.scarce),
            ("timed_out", failures.timed_out),
            ("closed", failures.closed),
            ("backend", failures.backend),
            ("construct", failures.construct),
            ("too_many", failures.too_many),
            ("cancelled", failures.cancelled),
        ];
        for (cause, value) in causes {
            counter!("pool_gets_failed_total", "pool" => name.clone(), "cause" => cause).absolute(value);
        }
    }
}
