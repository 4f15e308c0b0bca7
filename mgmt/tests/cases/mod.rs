//! The cases, by subject.

mod reference;
