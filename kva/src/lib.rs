//! kva
