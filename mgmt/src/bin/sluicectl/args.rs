//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sluice_mgmt::show::{Filter, Query, What};
use sluice_mgmt::trace::{FragmentSpec, PacketSpec, Start, TraceRequest};
use sluice_net::Mac;

/// Asks a running sluiced, and tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "sluicectl", version)]
pub(super) struct Cli {
    /// Control socket of the daemon; by default the only one in /run/sluice.
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,
    /// JSON instead of tables and text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Action,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Shows a table.
    Show(Box<Show>),
    /// Shows tracked connections, or ends some.
    Connections(Box<Connections>),
    /// Shows load balancers: backends, their health and their connections.
    Lb(Places),
    /// Shows NAT rules and how much they are used, or the ports that are left.
    Nat(Rules),
    /// Says step by step what would happen to a packet.
    Trace(Box<Trace>),
    /// Reads the configuration anew and puts it into effect, or says what is wrong with it.
    Reload,
    /// Says what a configuration would change in the running daemon.
    Check {
        /// Node file; by default the one the daemon was started with.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Forgets what was learned.
    #[command(subcommand)]
    Flush(Forget),
    /// All counters as text that Prometheus reads.
    Metrics,
    /// A script that completes this command in a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// Where what is shown takes place.
#[derive(Debug, Args)]
pub(super) struct Places {
    /// Only of this router.
    #[arg(long, value_name = "NAME")]
    router: Option<String>,
    /// Only of this switch.
    #[arg(long, value_name = "NAME")]
    switch: Option<String>,
}

impl Places {
    /// What is to be shown.
    pub(super) fn query(self, what: What) -> Query {
        Query {
            what,
            filter: Filter {
                router: self.router,
                switch: self.switch,
                ..Filter::default()
            },
            limit: None,
        }
    }
}

/// NAT rules.
#[derive(Debug, Args)]
pub(super) struct Rules {
    /// Only of this router.
    #[arg(long, value_name = "NAME")]
    router: Option<String>,
    /// Ports of the addresses outside, used and free, instead of rules.
    #[arg(long)]
    pools: bool,
}

impl Rules {
    /// What is to be shown.
    pub(super) fn query(self) -> Query {
        Query {
            what: match self.pools {
                true => What::Pools,
                false => What::Nat,
            },
            filter: Filter {
                router: self.router,
                ..Filter::default()
            },
            limit: None,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The table.
    pub(super) what: What,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Rows at most.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
}

/// A packet starts at a logical port, in a tunnel packet of another chassis, or as a frame on an interface. What is
/// left out of it is what the machine behind the port would send.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("start").required(true).args(["port", "tunnel_from", "device"]))]
pub(super) struct Trace {
    /// Starts at this logical switch port, as if the machine behind it sent it.
    #[arg(long, value_name = "NAME")]
    pub(super) port: Option<String>,
    /// Starts in a tunnel packet of this chassis.
    #[arg(long, value_name = "CHASSIS", requires = "vni")]
    pub(super) tunnel_from: Option<String>,
    /// Tunnel key, or name, of the switch or router in the tunnel packet.
    #[arg(long, value_name = "KEY|NAME", requires = "tunnel_from", conflicts_with_all = ["port", "device"])]
    pub(super) vni: Option<String>,
    /// Key, or name, of the logical input port in the tunnel packet.
    #[arg(long, value_name = "KEY|NAME", requires = "tunnel_from", conflicts_with_all = ["port", "device"])]
    pub(super) in_key: Option<String>,
    /// Key, or name, of the logical output port in the tunnel packet; cr-PORT is a redirected gateway port.
    #[arg(long, value_name = "KEY|NAME", requires = "tunnel_from", conflicts_with_all = ["port", "device"])]
    pub(super) out_key: Option<String>,
    /// Starts as a frame on this interface of the node.
    #[arg(long, value_name = "NAME", requires = "hex")]
    pub(super) device: Option<String>,
    /// The frame.
    #[arg(long, value_name = "BYTES", requires = "device", conflicts_with_all = ["port", "tunnel_from"])]
    pub(super) hex: Option<String>,
    /// Ethernet source.
    #[arg(long, value_name = "MAC")]
    pub(super) eth_src: Option<Mac>,
    /// Ethernet destination.
    #[arg(long, value_name = "MAC")]
    pub(super) eth_dst: Option<Mac>,
    /// 802.1Q tag.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(0..=4094))]
    pub(super) vlan: Option<u16>,
    /// Source address.
    #[arg(long, value_name = "IP")]
    pub(super) src: Option<IpAddr>,
    /// Destination address.
    #[arg(long, value_name = "IP")]
    pub(super) dst: Option<IpAddr>,
    /// icmp, tcp, udp, arp, or the number of a protocol [default: icmp].
    #[arg(long, value_name = "PROTOCOL")]
    pub(super) proto: Option<String>,
    /// Source port, or identifier of the echo.
    #[arg(long, value_name = "PORT")]
    pub(super) sport: Option<u16>,
    /// Destination port.
    #[arg(long, value_name = "PORT")]
    pub(super) dport: Option<u16>,
    /// TTL or hop limit [default: 64].
    #[arg(long, value_name = "N")]
    pub(super) ttl: Option<u8>,
    /// TCP flags [default: syn].
    #[arg(long, value_name = "FLAG,...")]
    pub(super) flags: Option<String>,
    /// Bytes of the IP packet.
    #[arg(long, value_name = "BYTES")]
    pub(super) len: Option<u16>,
    /// The packet may not be fragmented.
    #[arg(long)]
    pub(super) dont_fragment: bool,
    /// A fragment of the packet; of a later one as if the first had come by.
    #[arg(long, value_name = "WHICH", value_parser = ["first", "later"])]
    pub(super) fragment: Option<String>,
}

impl From<Trace> for TraceRequest {
    fn from(args: Trace) -> Self {
        let start = match (args.port, args.tunnel_from, args.device) {
            (Some(name), _, _) => Start::Port { name },
            (None, Some(chassis), _) => Start::Tunnel {
                chassis,
                datapath: args.vni.unwrap_or_default(),
                in_port: args.in_key,
                out_port: args.out_key,
            },
            (None, None, interface) => Start::Frame {
                interface: interface.unwrap_or_default(),
                hex: args.hex.unwrap_or_default(),
            },
        };
        let packet = PacketSpec {
            eth_src: args.eth_src,
            eth_dst: args.eth_dst,
            vlan: args.vlan,
            src: args.src,
            dst: args.dst,
            proto: args.proto,
            sport: args.sport,
            dport: args.dport,
            ttl: args.ttl,
            flags: args.flags,
            len: args.len,
            dont_fragment: args.dont_fragment,
            fragment: args.fragment.map(|which| match which.as_str() {
                "first" => FragmentSpec::First,
                _ => FragmentSpec::Later,
            }),
        };
        TraceRequest { start, packet }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Forget {
    /// Resolved next hops; those still needed are asked for again.
    Neighbors {
        /// Only of this router port.
        #[arg(long, value_name = "NAME")]
        port: Option<String>,
        /// Only this address.
        #[arg(long, value_name = "IP")]
        ip: Option<IpAddr>,
    },
    /// Learned MACs.
    Fdb {
        /// Only of this switch.
        #[arg(long, value_name = "NAME")]
        switch: Option<String>,
    },
    /// Connections: what is open now ends; packets that follow may open it anew.
    Connections(Box<Flows>),
}

/// Tracked connections: which there are, who has most, how many, and an end to some.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Connections {
    #[command(subcommand)]
    pub(super) end: Option<End>,
    #[command(flatten)]
    pub(super) flows: Flows,
    /// The sources with most of them, so many.
    #[arg(long, value_name = "N", conflicts_with_all = ["count", "limit"])]
    pub(super) top: Option<u64>,
    /// How many there are of each protocol and state, and nothing more.
    #[arg(long, conflicts_with = "limit")]
    pub(super) count: bool,
    /// Connections at most.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(super) enum End {
    /// Ends those that are open now and no others; packets that follow may open them anew.
    Flush(Box<Doomed>),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["src", "dst", "sport", "dport", "proto", "state", "zone", "all"]))]
pub(super) struct Doomed {
    #[command(flatten)]
    pub(super) flows: Flows,
    /// Whatever they are.
    #[arg(long)]
    pub(super) all: bool,
}

/// Which connections.
#[derive(Debug, Default, Args)]
pub(super) struct Flows {
    /// From this address, before or after translation.
    #[arg(long, value_name = "IP")]
    src: Option<IpAddr>,
    /// To this address, before or after translation.
    #[arg(long, value_name = "IP")]
    dst: Option<IpAddr>,
    /// From this port, before or after translation.
    #[arg(long, value_name = "PORT")]
    sport: Option<u16>,
    /// To this port, before or after translation.
    #[arg(long, value_name = "PORT")]
    dport: Option<u16>,
    /// tcp, udp, icmp, sctp or a number.
    #[arg(long, value_name = "PROTOCOL")]
    proto: Option<String>,
    /// In this state, as the table names it.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this zone: a switch or router, on either side.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
}

impl From<Flows> for Filter {
    fn from(flows: Flows) -> Filter {
        Filter {
            src: flows.src,
            dst: flows.dst,
            sport: flows.sport,
            dport: flows.dport,
            proto: flows.proto,
            state: flows.state,
            zone: flows.zone,
            ..Filter::default()
        }
    }
}

impl Connections {
    /// What is to be shown.
    pub(super) fn query(self) -> Query {
        let (what, limit) = match self.top {
            Some(top) => (What::Talkers, Some(top)),
            None if self.count => (What::Totals, None),
            None => (What::Connections, self.limit),
        };
        Query {
            what,
            filter: self.flows.into(),
            limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn traced(words: &str) -> Result<TraceRequest, String> {
        let words = ["sluicectl", "trace"].into_iter().chain(words.split(' '));
        match Cli::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .command
        {
            Action::Trace(args) => Ok((*args).into()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    fn connections(words: &str) -> Result<Connections, String> {
        let words = format!("sluicectl connections {words}");
        match Cli::try_parse_from(words.split_whitespace())
            .map_err(|error| error.to_string())?
            .command
        {
            Action::Connections(args) => Ok(*args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn connections_are_shown_counted_and_ended() {
        let asked = |words: &str| connections(words).map(|args| (args.end.is_some(), args.query()));
        let query = |what, limit| Query {
            what,
            limit,
            filter: Filter {
                proto: Some("tcp".to_owned()),
                ..Filter::default()
            },
        };
        let shown = |what, limit| Ok((false, query(what, limit)));
        assert_eq!(asked("--proto tcp"), shown(What::Connections, None));
        assert_eq!(
            asked("--proto tcp --limit 3"),
            shown(What::Connections, Some(3))
        );
        assert_eq!(asked("--top 5 --proto tcp"), shown(What::Talkers, Some(5)));
        assert_eq!(asked("--count --proto tcp"), shown(What::Totals, None));
        let ended = connections("flush --state time-wait --zone r1").map(|args| args.end);
        let Ok(Some(End::Flush(doomed))) = ended else {
            panic!("{ended:?}");
        };
        let filter = Filter::from(doomed.flows);
        assert_eq!(filter.state.as_deref(), Some("time-wait"));
        assert_eq!(filter.zone.as_deref(), Some("r1"));
        assert!(connections("flush --all").is_ok());
        for wrong in [
            "flush",
            "--top 3 --count",
            "--proto tcp flush --all",
            "flush --top 1",
        ] {
            assert!(connections(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_trace_has_one_start() {
        let port = traced("--port vm1 --dst 8.8.8.8 --proto tcp --flags syn,ack --ttl 3");
        let packet = PacketSpec {
            dst: "8.8.8.8".parse().ok(),
            proto: Some("tcp".to_owned()),
            flags: Some("syn,ack".to_owned()),
            ttl: Some(3),
            ..PacketSpec::default()
        };
        let start = Start::Port {
            name: "vm1".to_owned(),
        };
        assert_eq!(port, Ok(TraceRequest { start, packet }));
        let tunnel = traced("--tunnel-from hv1 --vni r1 --in-key 3 --out-key cr-p1 --dst 1.1.1.1");
        let start = Start::Tunnel {
            chassis: "hv1".to_owned(),
            datapath: "r1".to_owned(),
            in_port: Some("3".to_owned()),
            out_port: Some("cr-p1".to_owned()),
        };
        assert_eq!(tunnel.map(|request| request.start), Ok(start));
        let frame = traced("--device eth0 --hex 0200");
        assert!(matches!(
            frame.map(|request| request.start),
            Ok(Start::Frame { .. })
        ));
        for wrong in [
            "--dst 1.1.1.1",
            "--port vm1 --device eth0 --hex 02",
            "--device eth0",
            "--tunnel-from hv1 --dst 1.1.1.1",
            "--port vm1 --vni 3",
            "--port vm1 --eth-src 02:00",
            "--port vm1 --vlan 5000",
        ] {
            assert!(traced(wrong).is_err(), "{wrong}");
        }
    }
}
