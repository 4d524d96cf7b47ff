//! What was found, and what is said of it.

use std::fmt;

use super::guard::GuardError;
use super::poison::Spoilt;
use super::traces::Trace;
use crate::pages::PutError;

/// What somebody did with memory that is not theirs, or the kernel with ours, as
/// [`Hardening::on_violation`](super::Hardening::on_violation) is told. `Display` is a report of several
/// lines, which names the functions that got and put the item, if the pool keeps
/// [traces](super::Hardening::traces).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Hardening, RawPool, Violation, ViolationKind};
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let tell = |violation: &Violation<'_>| {
///     assert!(matches!(violation.kind(), ViolationKind::BadPut(_)));
///     println!("{violation}");
///     // Two puts of one item: where the one was, and where the other is.
///     assert!(violation.put().is_some() && violation.here().is_some());
/// };
/// let harden = Hardening::new().traces(true).on_violation(tell);
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).harden(harden).build(arena)?;
/// let item = pool.get()?;
/// // SAFETY: nobody uses it, before or after.
/// let _ = unsafe { (pool.put(item), pool.put(item)) };
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Violation<'a> {
    pub(super) pool: Option<&'a str>,
    pub(super) kind: ViolationKind,
    pub(super) item: Option<usize>,
    /// `None`: the pool keeps no traces.
    pub(super) here: Option<Trace>,
    pub(super) got: Option<Trace>,
    pub(super) put: Option<Trace>,
}

/// What kind of violation it is.
///
/// See [`Violation`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViolationKind {
    /// A put of what is not an item that is out.
    BadPut(PutError),
    /// An item is not as it was filled when it was put: somebody wrote to it since. Found as it was got.
    UseAfterPut {
        /// How many bytes into the item the first is that changed.
        offset: usize,
        /// What is there now.
        found: u8,
        /// How many bytes changed.
        bytes: usize,
    },
    /// Nobody's doing: the kernel would not make the guard page after an item accessible again, so that
    /// the item's page cannot be given up. It stays with the pool, which lends it again and holds it even
    /// above its limit, high water or after a close. It is tried anew when a page becomes
    /// idle, and by whatever asks for pages to go. If the kernel still refuses as the pool itself goes, the
    /// page is lost to its back-end.
    GuardShut(GuardError),
}

impl ViolationKind {
    pub(super) const fn of(Spoilt { offset, found, bytes }: Spoilt) -> Self {
        Self::UseAfterPut { offset, found, bytes }
    }
}

impl<'a> Violation<'a> {
    /// What it is.
    pub const fn kind(&self) -> ViolationKind {
        self.kind
    }

    /// The pool's name, if it has one.
    pub const fn pool(&self) -> Option<&'a str> {
        self.pool
    }

    /// The address of the item; `None`: of a pointer into no page of the pool.
    pub const fn item(&self) -> Option<usize> {
        self.item
    }

    /// Where it was found: the put or get that did. `None`: the pool keeps no traces, or nobody did it.
    pub const fn here(&self) -> Option<&Trace> {
        self.here.as_ref()
    }

    /// Where the item was got last. `None`: it never was, or the pool keeps no traces.
    pub const fn got(&self) -> Option<&Trace> {
        self.got.as_ref()
    }

    /// Where the item was put last. `None`: it never was, or the pool keeps no traces.
    pub const fn put(&self) -> Option<&Trace> {
        self.put.as_ref()
    }
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: ", self.pool.unwrap_or("(no name)"))?;
        let (here, put, got) = match self.kind {
            ViolationKind::BadPut(error) => {
                write!(f, "{error}")?;
                match error {
                    PutError::DoublePut(_) => {
                        ("put a second time", "it was put first", "it had been got before that")
                    }
                    _ => ("put", "its item was put last", "its item was got last"),
                }
            }
            ViolationKind::GuardShut(error) => {
                let item = self.item.unwrap_or_default();
                write!(
                    f,
                    "the page of {item:#x} cannot be given back, since its guard will not open: {error}"
                )?;
                ("", "it was put", "it had been got before that")
            }
            ViolationKind::UseAfterPut { offset, found, bytes } => {
                let item = self.item.unwrap_or_default();
                write!(f, "use after put of {item:#x}: {bytes} bytes changed, from byte {offset} on, ")?;
                write!(f, "which is {found:#04x}")?;
                ("found as it was got", "it was put", "it had been got before that")
            }
        };
        if self.here.is_none() && !matches!(self.kind, ViolationKind::GuardShut(_)) {
            return f.write_str("; the pool keeps no traces, so who did it is not known");
        }
        for (what, trace) in [(here, &self.here), (put, &self.put), (got, &self.got)] {
            if let Some(trace) = trace {
                write!(f, "\n  {what}:{trace}")?;
            }
        }
        Ok(())
    }
}
