//! What the RFCs on the behaviour of NATs ask for: 4787 (UDP), 5382 (TCP), 5508 (ICMP), 6888 (shared addresses) and
//! 7857 (which updates them). The network is that of [`bed`]; every test goes through all ways of mapping.

mod bed;
mod errors;
mod exhaustion;
mod filtering;
mod mapping;
mod segments;
mod timers;
