//! What both fronts have: knobs, and a look inside.

/// Methods of a front whose core is at `self.$($core).+`.
macro_rules! knobs {
    ($($core:ident).+) => {
        /// Grows until `pages` are held, without waiting; how many are held then. Fewer than
        /// asked for: the hard limit or high water is lower, the back-end has no more right
        /// now, or somebody else waits for it. A factory never has any: reserve objects instead. To have
        /// all that the limit allows, or no pool, see
        /// [`build_primed`](crate::Builder::build_primed).
        ///
        /// # Errors
        /// The pool is closed, or the back-end refused a page.
        pub fn prime(&self, pages: u32) -> Result<u32, $crate::TryGetError<B::Error>> {
            self.$($core).+.prime(pages)
        }

        /// Gives idle pages back to the back-end, down to low water and the reserve; how many
        /// it gave.
        pub fn drain(&self) -> usize {
            self.$($core).+.give_up_idle(|state| state.ledger.low())
        }

        /// Changes the hard limit. What is held above a lowered limit goes as it becomes idle,
        /// even past those who wait; nothing new is begun meanwhile. Low water and the reserve
        /// come down with the limit, and go up with it again as far as they were set. Who waits
        /// for more items than it allows is told so. A raised limit serves those who wait.
        ///
        /// # Errors
        /// The limit is zero, or there is no memory for larger tables.
        pub fn set_hard_limit(&self, pages: u32) -> Result<(), $crate::ConfigError> {
            self.$($core).+.set_hard_limit(pages)
        }

        /// Changes low and high water, in pages.
        ///
        /// # Errors
        /// Not `low <= high`, or not `low <= hard limit`.
        pub fn set_water(&self, low: u32, high: u32) -> Result<(), $crate::ConfigError> {
            self.$($core).+.set_water(low, high)
        }

        /// Changes the [reserve](crate::Builder::critical_reserve), in items.
        ///
        /// # Errors
        /// It leaves nothing to ordinary getters.
        pub fn set_critical_reserve(&self, items: u32) -> Result<(), $crate::ConfigError> {
            self.$($core).+.set_critical_reserve(items)
        }

        /// Closes the pool: who waits and who comes later gets `Closed`, idle pages go back to
        /// the back-end, the others as their items are put. A getter asleep inside a back-end
        /// is told when that returns. Closing twice is once.
        pub fn close(&self) {
            self.$($core).+.close();
        }

        /// Whether [`close`](Self::close) was called.
        pub fn is_closed(&self) -> bool {
            self.$($core).+.lock().closed
        }

        /// A snapshot.
        pub fn stats(&self) -> $crate::PoolStats {
            self.$($core).+.stats()
        }

        /// How long getters waited that found no item at once, in nanoseconds, each within
        /// 7 %: what [`PoolStats::waits`](crate::PoolStats::waits) sums up.
        pub fn wait_histogram(&self) -> hdrhistogram::Histogram<u64> {
            self.$($core).+.lock().waits.histogram()
        }

        /// What people call the pool.
        pub fn name(&self) -> Option<&str> {
            self.$($core).+.name.as_deref()
        }

        /// Where the pages come from.
        pub fn backend(&self) -> &B {
            self.$($core).+.backend()
        }
    };
}

pub(crate) use knobs;
