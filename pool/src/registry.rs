//! All pools of the process that have a name, and a table of them after `vmstat -m`.

use std::fmt;
use std::ops::Deref;

use kva::sync::{Arc, GlobalMutex, Weak};

use crate::backend::Backend;
use crate::core::Core;
use crate::stats::PoolStats;

trait Registered: Send + Sync {
    fn stats(&self) -> PoolStats;
}

impl<B: Backend> Registered for Core<B> {
    fn stats(&self) -> PoolStats {
        Self::stats(self)
    }
}

static POOLS: GlobalMutex<Vec<Weak<dyn Registered>>> = GlobalMutex::new(Vec::new());

/// Adds a pool, in place of those that are gone.
pub(crate) fn add<B: Backend>(core: &Arc<Core<B>>) {
    let weak = Arc::downgrade(core);
    POOLS.with(|pools| {
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(weak);
    });
}

/// The pools of this process that have a [name](crate::Builder::name), by name: a snapshot of
/// each, one after the other.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// # use pool::Pool;
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(4, || [0_u8; 4096]).name("blocks").build(arena)?;
/// let item = pool.get()?;
/// let pools = pool::registered();
/// println!("{pools}");
/// assert_eq!(pools.iter().filter(|pool| pool.out == 1).count(), 1);
/// # drop(item);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn registered() -> Pools {
    // Whoever drops a pool's last handle meanwhile leaves that to us, after the lock.
    let alive: Vec<_> = POOLS.with(|pools| pools.iter().filter_map(Weak::upgrade).collect());
    let mut rows: Vec<_> = alive.iter().map(|pool| pool.stats()).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Pools(rows)
}

/// Snapshots of pools; see [`registered`]. Displayed as a table, a row a pool:
///
/// | column | means |
/// | --- | --- |
/// | `Name`, `Size` | the pool's name; bytes from one item to the next |
/// | `Gets`, `Fail`, `Puts` | items handed out; gets that failed; items taken back |
/// | `Out`, `Hiout`, `Idle` | items out; the most ever; free items |
/// | `Wait` | getters that wait |
/// | `Pgreq`, `Pgrel` | pages asked for; pages given up |
/// | `Npage`, `Grow` | pages held; pages pending |
/// | `Minpg`, `Maxpg` | low water; the hard limit |
/// | `Held`, `Unused` | bytes of the pages held; of these, bytes that are in no item that is out |
/// | `Heirs`, `Below`, `Stolen` | pages released for getters asleep inside the back-end; those released at low water or below; those that did not reach their getter |
///
/// ```
/// assert!(pool::registered().to_string().starts_with("Name"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pools(Vec<PoolStats>);

impl Deref for Pools {
    type Target = [PoolStats];
    fn deref(&self) -> &[PoolStats] {
        &self.0
    }
}

const HEADS: [&str; 19] = [
    "Name",
    "Size",
    "Gets",
    "Fail",
    "Puts",
    "Out",
    "Hiout",
    "Idle",
    "Wait",
    "Pgreq",
    "Pgrel",
    "Npage",
    "Grow",
    "Minpg/Maxpg",
    "Held",
    "Unused",
    "Heirs",
    "Below",
    "Stolen",
];

fn cells(pool: &PoolStats) -> [String; HEADS.len()] {
    [
        pool.name.clone().unwrap_or_default(),
        pool.item_size.to_string(),
        pool.gets.to_string(),
        pool.failures.total().to_string(),
        pool.puts.to_string(),
        pool.out.to_string(),
        pool.most_out.to_string(),
        pool.idle.to_string(),
        pool.waiting.to_string(),
        pool.grows.to_string(),
        pool.released.to_string(),
        pool.pages.to_string(),
        pool.growing.to_string(),
        format!("{}/{}", pool.low_water, pool.hard_limit),
        pool.held_bytes().to_string(),
        pool.unused_bytes().to_string(),
        pool.released_to_heirs.to_string(),
        pool.released_below_low.to_string(),
        pool.stolen.to_string(),
    ]
}

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = std::iter::once(HEADS.map(str::to_owned)).chain(self.iter().map(cells)).collect();
        let mut widths = [0; HEADS.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, " {cell:>width$}")?,
                }
            }
        }
        Ok(())
    }
}
