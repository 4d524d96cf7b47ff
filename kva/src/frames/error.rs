//! Why there are no frames, no page, or no pin.

use std::io;

use crate::arena::{AllocError, ArenaError};

/// Why [`Frames`](crate::Frames) cannot be made.
///
/// ```
/// use kva::{Frames, FramesError};
///
/// let error = Frames::builder(4).frame_size(100).build().unwrap_err();
/// assert!(matches!(error, FramesError::FrameSize { bytes: 100, .. }));
/// assert!(matches!(Frames::new(0), Err(FramesError::Arena(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramesError {
    /// A frame is no positive multiple of the system's pages.
    #[error("frames of {bytes} bytes: a positive multiple of the page size, {page}, is needed")]
    FrameSize {
        /// What was asked for.
        bytes: usize,
        /// The page size.
        page: usize,
    },
    /// There are none, or too many.
    #[error("numbering the frames")]
    Arena(#[from] ArenaError),
    /// There is no memory for the tables of so many frames.
    #[error("no memory for the tables of {0} frames")]
    Tables(u32),
    /// The system makes no such file, or does not map it.
    #[error("making or mapping the file behind the frames")]
    Memory(#[from] io::Error),
}

/// Why there is no [`Page`](crate::Page) or [`Run`](crate::Run).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{AllocError, FrameAllocError, Frames};
///
/// let frames = Frames::new(1)?;
/// let page = frames.page()?;
/// assert_eq!(frames.try_page().unwrap_err(), FrameAllocError::Alloc(AllocError::Scarce));
/// # drop(page);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameAllocError {
    /// There are no frames.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// There were, but the system did not map them: a process has at most
    /// `/proc/sys/vm/max_map_count` mappings, and each page may be one.
    #[error("mmap(2) did not map frames: {0}")]
    Map(io::ErrorKind),
}

/// Why a page was not [pinned](crate::Page::try_pin).
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Frames, PinError};
///
/// let frames = Frames::new(1)?;
/// let page = frames.page()?;
/// match page.try_pin() {
///     Ok(bytes) => assert_eq!(bytes.len(), frames.frame_size()),
///     Err(PinError::Busy) => println!("it is being moved"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// It is being moved, or another thread opens or closes it.
    #[error("the page is busy")]
    Busy,
    /// The system does not make it accessible, which only [protected](crate::FramesBuilder::protect)
    /// pages need.
    #[error("mprotect(2) did not make the page accessible: {0}")]
    Open(io::ErrorKind),
}
