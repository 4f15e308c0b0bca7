//! What the RFCs on the behaviour of NATs ask for: 4787 (UDP), 5382 (TCP), 5508 (ICMP), 6888 (shared addresses) and
//! 7857 (which updates them). The network is that of [`bed`]; every test goes through all ways of mapping.

mod bed;
mod errors;
mod exhaustion;
mod filtering;
mod independent;
mod mapping;
mod matrix;
mod rfc4787;
mod rfc5382;
mod rfc5508;
mod rfc6888;
mod rfc7857;
mod segments;
mod several;
mod timers;
