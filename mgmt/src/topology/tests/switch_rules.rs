//! Rules of names, chassis, switches and their ports.

use super::*;

const CASES: &[Case] = &[
    (
        "no encap",
        |t| t.chassis.get_mut("gw1").unwrap().encaps.clear(),
        "chassis.gw1",
        "has no encap",
    ),
    (
        "same encap ip",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].ip = ip("172.16.0.1"),
        "chassis.gw2.encap.ip[0]",
        "same geneve address",
    ),
    (
        "encap multicast",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].ip = ip("224.0.0.1"),
        "chassis.gw2.encap.ip[0]",
        "not the address of one node",
    ),
    (
        "encap port 0",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].port = Some(0),
        "chassis.gw2.encap.port[0]",
        "port 0",
    ),
    (
        "vxlan port keys",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].kind = EncapKind::Vxlan,
        "chassis.gw2.encap.port_keys[0]",
        "no room",
    ),
    (
        "empty name",
        |t| _ = t.switches.insert(String::new(), Switch::default()),
        "switch.",
        "empty",
    ),
    (
        "slash in a name",
        |t| add(t, "in", "a/b", vif(3, &[])),
        "switch.in.port.a/b",
        "may not contain '/'",
    ),
    (
        "key 0",
        |t| switch(t, "in").key = Vni::new(0),
        "switch.in.key",
        "outside 1 to 16777215",
    ),
    (
        "port name twice",
        |t| add(t, "out", "vm", vif(3, &[])),
        "switch.out.port.vm",
        "also declared on switch `in`",
    ),
    (
        "port name of switch and router",
        |t| add(t, "in", "r-in", vif(3, &[])),
        "switch.in.port.r-in",
        "also declared on router `r`",
    ),
    (
        "chassisredirect name",
        |t| add(t, "in", "cr-r-out", vif(3, &[])),
        "switch.in.port.cr-r-out",
        "chassisredirect port of `r-out`",
    ),
    (
        "no such router port",
        |t| add(t, "in", "x", to_router("r-inn")),
        "switch.in.port.x.router_port",
        "no router port `r-inn`",
    ),
    (
        "a switch port as router port",
        |t| add(t, "in", "x", to_router("vm")),
        "switch.in.port.x.router_port",
        "no router port `vm`",
    ),
    (
        "attached twice",
        |t| add(t, "out", "x", to_router("r-in")),
        "switch.out.port.x.router_port",
        "already attached",
    ),
    (
        "attached and peered",
        |t| port(t, "r-in").peer = Some("r-out".to_owned()),
        "switch.in.port.in-r.router_port",
        "already linked",
    ),
    (
        "vif chassis",
        |t| vm(t).chassis = Some("gw3".to_owned()),
        "switch.in.port.vm.chassis",
        "no chassis `gw3`",
    ),
    (
        "localnet chassis",
        |t| switch(t, "out").ports.get_mut("out-net").unwrap().chassis = Some("gw1".to_owned()),
        "switch.out.port.out-net.chassis",
        "only a VIF",
    ),
    (
        "router address on a vif",
        |t| vm(t).addresses.push(PortAddress::Router),
        "switch.in.port.vm.addresses[1]",
        "port of type router",
    ),
    (
        "addresses on a router port",
        |t| {
            switch(t, "in")
                .ports
                .get_mut("in-r")
                .unwrap()
                .addresses
                .push(PortAddress::Unknown)
        },
        "switch.in.port.in-r.addresses[0]",
        "addresses of its router port",
    ),
    (
        "addresses on a localnet",
        |t| {
            switch(t, "out")
                .ports
                .get_mut("out-net")
                .unwrap()
                .addresses
                .push(PortAddress::Router)
        },
        "switch.out.port.out-net.addresses[0]",
        "always unknown",
    ),
    (
        "port security on a localnet",
        |t| {
            switch(t, "out")
                .ports
                .get_mut("out-net")
                .unwrap()
                .port_security
                .push(SecurityAddresses {
                    mac: mac(1),
                    ips: vec![],
                })
        },
        "switch.out.port.out-net.port_security",
        "only a VIF",
    ),
    (
        "vlan on a router port",
        |t| switch(t, "in").ports.get_mut("in-r").unwrap().vlan = Some(3),
        "switch.in.port.in-r.vlan",
        "only a VIF",
    ),
    (
        "vlan 4095",
        |t| vm(t).vlan = Some(4095),
        "switch.in.port.vm.vlan",
        "4095 is not a VLAN",
    ),
    (
        "tag 0",
        |t| add(t, "in", "x", localnet("p", Some(0))),
        "switch.in.port.x.tag",
        "0 is not a VLAN",
    ),
    (
        "same localnet",
        |t| add(t, "in", "x", localnet("phys", None)),
        "switch.out.port.out-net.network",
        "both stand for network `phys`",
    ),
    (
        "multicast MAC",
        |t| {
            vm(t).addresses[0] = PortAddress::Static {
                mac: Mac([1, 0, 0, 0, 0, 1]),
                ips: vec![],
            }
        },
        "switch.in.port.vm.addresses[0]",
        "multicast MAC",
    ),
    (
        "MAC in port security",
        |t| {
            vm(t).port_security.push(SecurityAddresses {
                mac: Mac::BROADCAST,
                ips: vec![],
            })
        },
        "switch.in.port.vm.port_security[0]",
        "multicast MAC",
    ),
    (
        "MAC twice",
        |t| add(t, "in", "x", vif(1, &[])),
        "switch.in.port.x.addresses[0]",
        "already that of port `vm`",
    ),
    (
        "MAC twice on a port",
        |t| {
            vm(t).addresses.push(PortAddress::Static {
                mac: mac(1),
                ips: vec![],
            })
        },
        "switch.in.port.vm.addresses[1]",
        "given twice",
    ),
    (
        "router's MAC",
        |t| port(t, "r-in").mac = Some(mac(1)),
        "switch.in.port.vm.addresses[0]",
        "already that of port `in-r`",
    ),
    (
        "address twice",
        |t| add(t, "in", "x", vif(3, &["10.0.0.9"])),
        "switch.in.port.x.addresses[0]",
        "10.0.0.9 is already that of port `vm`",
    ),
    (
        "router's address",
        |t| add(t, "in", "x", vif(3, &["10.0.0.1"])),
        "switch.in.port.x.addresses[0]",
        "already that of port `in-r`",
    ),
    (
        "foreign address",
        |t| add(t, "in", "x", vif(3, &["10.0.1.9"])),
        "switch.in.port.x.addresses[0]",
        "in no network of a router",
    ),
    (
        "multicast address",
        |t| add(t, "new", "x", vif(3, &["ff02::1"])),
        "switch.new.port.x.addresses[0]",
        "multicast address",
    ),
    (
        "loopback address",
        |t| add(t, "new", "x", vif(3, &["127.0.0.1"])),
        "switch.new.port.x.addresses[0]",
        "loopback",
    ),
    (
        "dynamic without subnet",
        |t| vm(t).addresses = vec![PortAddress::Dynamic { mac: None }],
        "switch.in.port.vm.addresses[0]",
        "has no subnet",
    ),
    (
        "two dynamic",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            vm(t).addresses = vec![
                PortAddress::Dynamic { mac: Some(mac(1)) },
                PortAddress::Dynamic { mac: None },
            ];
        },
        "switch.in.port.vm.addresses[1]",
        "at most one dynamic",
    ),
    (
        "subnet host bits",
        |t| switch(t, "in").subnet = Some(net("10.0.0.1/24")),
        "switch.in.subnet",
        "host bits",
    ),
    (
        "exclude without subnet",
        |t| {
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.2"), ip("10.0.0.2")))
        },
        "switch.in.exclude_ips[0]",
        "without a subnet",
    ),
    (
        "exclude outside",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.2"), ip("10.0.1.2")));
        },
        "switch.in.exclude_ips[0]",
        "not inside",
    ),
    (
        "exclude backwards",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.3"), ip("10.0.0.2")));
        },
        "switch.in.exclude_ips[0]",
        "ends before it begins",
    ),
];

#[test]
fn every_rule_is_kept() {
    check_cases(CASES);
}
