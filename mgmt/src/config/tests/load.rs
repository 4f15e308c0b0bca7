//! What a loaded configuration holds.

use std::path::Path;

use super::Files;
use crate::config::{Hugepages, Idle, LogFormat, LogLevel, Severity, parse_topology};
use crate::topology::{Nexthop, Peer};

const TOPOLOGY: &str = r#"
[chassis.gw1]
encap = { type = "geneve", ip = "172.16.0.1" }
"#;

const NODE: &str = "chassis = \"gw1\"\ntopology = \"topology.toml\"\n";

#[test]
fn what_is_left_out_has_its_default() {
    let files = Files::new(&[("node.toml", NODE), ("topology.toml", TOPOLOGY)]);
    let node = files.load().unwrap().node;
    assert_eq!(node.dataplane.workers, [3]);
    assert_eq!(node.dataplane.idle, Idle::Adaptive);
    assert_eq!(node.dataplane.hugepages, Hugepages::Auto);
    assert_eq!(node.dataplane.memory, None);
    assert_eq!(node.dataplane.connections, 1 << 20);
    assert_eq!(node.control.socket, Path::new("/run/sluice/gw1.sock"));
    assert_eq!(
        (node.log.level, node.log.format),
        (LogLevel::Info, LogFormat::Text)
    );
    assert_eq!(node.underlay, None);
    assert_eq!(node.topology, files.0.join("topology.toml"));
}

#[test]
fn what_is_said_is_taken() {
    let node = format!(
        "{NODE}[dataplane]\nworkers = [2, 0]\nidle = \"poll\"\nhugepages = \"off\"\n\
         memory = \"512M\"\nconnections = 2048\nneighbors = 4096\nfdb = 8192\n\
         [interface.e]\ndevice = \"0000:01:00.0\"\nmtu = 9000\n\
         [underlay]\ninterface = \"e\"\naddress = \"172.16.0.1/24\"\ngateway = \"172.16.0.254\"\n\
         vlan = 7\n[control]\nsocket = \"/run/s\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n"
    );
    let files = Files::new(&[("node.toml", &node), ("topology.toml", TOPOLOGY)]);
    let node = files.load().unwrap().node;
    assert_eq!(node.dataplane.workers, [2, 0]);
    assert_eq!(node.dataplane.idle, Idle::Poll);
    assert_eq!(node.dataplane.hugepages, Hugepages::Off);
    assert_eq!(node.dataplane.memory, Some(512 << 20));
    assert_eq!(node.dataplane.connections, 2048);
    assert_eq!(node.dataplane.neighbors, 4096);
    assert_eq!(node.dataplane.fdb, 8192);
    let underlay = node.underlay.unwrap();
    assert_eq!((underlay.mtu, underlay.vlan), (9000, Some(7)));
    assert_eq!(underlay.gateway, Some("172.16.0.254".parse().unwrap()));
    assert_eq!(node.control.socket, Path::new("/run/s"));
    assert_eq!(
        (node.log.level, node.log.format),
        (LogLevel::Debug, LogFormat::Json)
    );
}

#[test]
fn encaps_have_their_protocols_defaults_and_may_be_several() {
    let text = "[chassis.a]\nencap = [\n{ type = \"geneve\", ip = \"1.1.1.1\" },\n\
                { type = \"vxlan\", ip = \"1.1.1.2\", port = 8472, checksum = false },\n]\n";
    let topology = parse_topology("t", text, Path::new("")).unwrap();
    let [geneve, vxlan] = topology.chassis["a"].encaps.as_slice() else {
        panic!("two encaps");
    };
    assert!(geneve.port_keys && geneve.checksum && geneve.port.is_none());
    assert!(!vxlan.port_keys && !vxlan.checksum && vxlan.port == Some(8472));
    let one = text.replace("{ type = \"geneve\", ip = \"1.1.1.1\" },", "");
    let errors = parse_topology("t", &one, Path::new("")).unwrap_err();
    assert!(errors.to_string().contains("a list of one"), "{errors}");
}

#[test]
fn routes_of_the_file_follow_those_of_the_table() {
    let topology = format!(
        "{TOPOLOGY}[router.r]\nroutes_file = \"r.txt\"\n[router.r.port.p]\n\
         networks = [\"10.9.0.1/24\"]\n[[router.r.route]]\nip_prefix = \"0.0.0.0/0\"\n\
         nexthop = \"10.9.0.2\"\n"
    );
    let routes = "blackhole 10.0.0.0/8\r\n\n10.1.0.0/16 via 10.9.0.3";
    let files = Files::new(&[
        ("node.toml", NODE),
        ("topology.toml", &topology),
        ("r.txt", routes),
    ]);
    let loaded = files.load().unwrap();
    let nexthops: Vec<_> = loaded.topology.routers["r"]
        .routes
        .iter()
        .map(|r| r.nexthop)
        .collect();
    let via = |ip: &str| Nexthop::Ip(ip.parse().unwrap());
    assert_eq!(
        nexthops,
        [via("10.9.0.2"), Nexthop::Discard, via("10.9.0.3")]
    );
}

#[test]
fn missing_and_unreadable_files_are_named() {
    let files = Files::new(&[]);
    let text = files.load().unwrap_err().to_string();
    assert!(
        text.contains("cannot read") && text.contains("node.toml"),
        "{text}"
    );

    files.write("node.toml", NODE);
    let errors = files.load().unwrap_err();
    let finding = errors.findings().next().unwrap();
    assert_eq!(finding.position, Some((2, 12)));
    assert!(
        finding.message.contains("topology.toml"),
        "{}",
        finding.message
    );

    files.write("topology.toml", b"\xff\xfe");
    let text = files.load().unwrap_err().to_string();
    assert!(text.contains("topology.toml is not UTF-8"), "{text}");

    let router = format!("{TOPOLOGY}[router.r]\nroutes_file = \"none.txt\"\n");
    files.write("topology.toml", router);
    let errors = files.load().unwrap_err();
    let finding = errors.findings().next().unwrap();
    assert_eq!(finding.position, Some((5, 15)));
    assert!(finding.message.contains("none.txt"), "{}", finding.message);
}

#[test]
fn fifty_are_shown_and_the_rest_is_counted() {
    let ports: String = (0..73)
        .map(|n| format!("[switch.s.port.p{n}]\nx = 1\n"))
        .collect();
    let text = format!("{TOPOLOGY}{ports}");
    let errors = parse_topology("t", &text, Path::new("")).unwrap_err();
    assert_eq!(errors.len(), 73);
    let shown = errors.render(false);
    assert_eq!(shown.matches("error: ").count(), 50);
    assert!(shown.ends_with("... and 23 more\n\n"), "{shown}");
}

#[test]
fn the_digest_is_of_what_is_meant() {
    let digest = |text: &str| {
        let text = format!("{TOPOLOGY}{text}");
        parse_topology("t", &text, Path::new(""))
            .unwrap_or_else(|e| panic!("{e}"))
            .digest()
    };
    let a = "[switch.a.port.p]\naddresses = [\"unknown\"]\n[switch.b]\n";
    let b =
        "# the same\n[switch.b]\n[switch.a.port.p]\naddresses = [ \"unknown\" ]\nenabled = true\n";
    assert_eq!(digest(a), digest(b));
    for other in [
        "[switch.a.port.p]\naddresses = []\n[switch.b]\n",
        "[switch.a.port.p]\naddresses = [\"unknown\"]\n[switch.c]\n",
        "[switch.a]\nkey = 5\n[switch.a.port.p]\naddresses = [\"unknown\"]\n[switch.b]\n",
        "[switch.a.port.p]\naddresses = [\"unknown\"]\nenabled = false\n[switch.b]\n",
        "[switch.a.port.p]\naddresses = [\"unknown\"]\n[switch.b]\nmac_age = 5\n",
    ] {
        assert_ne!(digest(a), digest(other), "{other}");
    }
}

#[test]
fn what_follows_from_an_error_is_not_told() {
    // The misspelt `peer` of b makes a's peer one-sided, and its networks are missing.
    let text = format!(
        "{TOPOLOGY}[router.a.port.pa]\nnetworks = [\"10.0.0.1/30\"]\npeer = \"pb\"\n\
         [router.b.port.pb]\nnetwork = [\"10.0.0.2/30\"]\npeers = \"pa\"\n\
         [[router.b.route]]\nip_prefix = \"0.0.0.0/0\"\nnexthop = \"10.0.0.1\"\n\
         [router.c.port.pc]\nnetworks = [\"10.5.0.0/30\"]\n"
    );
    let errors = parse_topology("t", &text, Path::new("")).unwrap_err();
    let messages: Vec<_> = errors
        .findings()
        .map(|finding| finding.message.to_owned())
        .collect();
    assert_eq!(
        messages,
        [
            "a router port needs `networks`",
            "a router port has no key `network`",
            "a router port has no key `peers`",
            "10.5.0.0 is the network address of 10.5.0.0/30",
        ]
    );
}

#[test]
fn peers_and_gateways_are_resolved() {
    let text = format!(
        "{TOPOLOGY}[chassis.b]\nencap = {{ type = \"geneve\", ip = \"172.16.0.2\" }}\n\
         [chassis.c]\nencap = {{ type = \"geneve\", ip = \"172.16.0.3\" }}\n\
         [switch.s.port.s-r]\ntype = \"router\"\nrouter_port = \"r-s\"\n\
         [router.r.port.r-s]\nnetworks = [\"10.0.0.1/24\"]\n\
         gateway_chassis = {{ b = 5, c = 5, gw1 = 9 }}\n"
    );
    let topology = parse_topology("t", &text, Path::new("")).unwrap();
    let port = &topology.routers["r"].ports["r-s"];
    let order: Vec<_> = port
        .gateway_chassis
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(order, ["gw1", "c", "b"]);
    assert!(port.redirect_key.is_some() && port.redirect_key != Some(port.key));
    let peer = Peer::Switch {
        switch: "s".to_owned(),
        port: "s-r".to_owned(),
    };
    assert_eq!(port.peer, Some(peer));
    let addresses = &topology.switches["s"].ports["s-r"].addresses;
    assert_eq!(addresses[0].mac, port.mac);
    assert_eq!(
        addresses[0].ips,
        ["10.0.0.1".parse().unwrap(), port.link_local.into()] as [std::net::IpAddr; 2]
    );
}

#[test]
fn warnings_are_not_errors() {
    let node = format!("{NODE}[interface.spare]\ndevice = \"net_null0\"\n");
    let files = Files::new(&[("node.toml", &node), ("topology.toml", TOPOLOGY)]);
    let loaded = files.load().unwrap();
    let finding = loaded.warnings.findings().next().unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.message, "nothing uses interface `spare`");
    assert_eq!(finding.position, Some((3, 1)));
}

#[test]
fn no_help_is_given_when_there_is_no_choice() {
    for (topology, help) in [("", None), (TOPOLOGY, Some("the topology has: gw1"))] {
        let node = NODE.replace("gw1", "zzz");
        let files = Files::new(&[("node.toml", &node), ("topology.toml", topology)]);
        let errors = files.load().unwrap_err();
        let finding = errors.findings().next().unwrap();
        assert_eq!(finding.message, "the topology has no chassis `zzz`");
        assert_eq!(finding.help, help);
    }
}
