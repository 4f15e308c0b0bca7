//! Packets through whole nodes in memory: what comes out, byte for byte where it matters, and which counters moved.

#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

mod cases;
mod support;
