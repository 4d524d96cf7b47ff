//! What the handles of one pool share: the last one to go closes it.

use std::alloc::Layout;

use kva::sync::Arc;

use crate::backend::Backend;
use crate::builder::Setup;
use crate::carve::Carve;
use crate::core::{Core, Destroy};
use crate::error::ConfigError;
use crate::registry;

/// Closes the pool when dropped.
struct Closes<B: Backend>(Arc<Core<B>>);

impl<B: Backend> Drop for Closes<B> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A handle: cheap to clone.
pub(crate) struct Handle<B: Backend> {
    pub(crate) core: Arc<Core<B>>,
    closes: Arc<Closes<B>>,
}

impl<B: Backend> Clone for Handle<B> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), closes: self.closes.clone() }
    }
}

impl<B: Backend> Handle<B> {
    /// A pool of items of `item`, in which `destroy` destroys objects, if they are kept.
    pub(crate) fn new(
        item: Layout,
        setup: Setup,
        backend: B,
        destroy: Option<Destroy>,
    ) -> Result<Self, ConfigError> {
        let granule = backend.granule().ok_or(ConfigError::NoMemory)?;
        let carve = match &setup.hardening {
            Some(hardening) => hardening.carve(item, granule, setup.items_per_page),
            None => Carve::new(item, granule, setup.items_per_page),
        };
        let carve = carve.map_err(|error| ConfigError::Items(error.to_string()))?;
        let registered = setup.name.is_some();
        let Setup { name, limits, timer, hardening, .. } = setup;
        let core = Core::new(backend, carve, limits, name, timer, destroy, hardening)?;
        if registered {
            registry::add(&core);
        }
        let closes = Arc::new(Closes(core.clone()));
        Ok(Self { core, closes })
    }
}
