//! The agent with hand-made tables, frames in memory, and time as the tests say.
//!
//! ```text
//!   10.0.0.0/24, 2001:db8::/64                      203.0.113.0/24
//!   vm -- sw [vm, sw-r1] ---- r1 ---- [ext-r1, wire] ext -- device 1
//!  device 0            r1-sw .254  .1 r1-ext (gateway port: gw1, then gw2; NAT .50)
//!
//!   underlay: 172.16.0.1/24 on device 2, VLAN 30; tunnels to 172.16.0.2 and, by 172.16.0.254, to 172.17.0.9
//! ```

mod gateway;
mod lab;
mod neighbors;
mod node;
mod replies;
mod switching;
mod underlay;
