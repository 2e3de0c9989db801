//! Both programs together, started as a person would start them. What one of them does alone is tested beside it.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod goes_on;
mod refuses;
mod trains;
