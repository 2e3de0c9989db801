//! Laws of [`decide`] over random interleavings.
