//! The cases, by subject.

mod acl;
mod attacks;
mod balancers;
mod conformance;
mod differential;
mod distributed;
mod dnat;
mod drops;
mod floating;
mod fragments;
mod gateway;
mod lab;
mod lanes;
mod limits;
mod nat;
mod openings;
mod properties;
mod reference;
mod restart;
mod round_trip;
mod routing;
mod switching;
mod tunnels;
mod undeclared;
mod vxlan;
mod workers;
