//! The stages of the pipeline: pure functions of the headers and the tables.
//!
//! A stage returns `Step<T>`: what it found, or the verdict that ends the walk. It knows no other stage;
//! the order is in [`crate::pipeline`].

pub mod acl;
pub mod admission;
pub mod bridge;
pub mod enter;
pub mod gateway;
pub mod nat;
pub mod neighbor;
pub mod route;
pub mod security;
pub mod steer;
