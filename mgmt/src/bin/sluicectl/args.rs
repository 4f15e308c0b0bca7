//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sluice_mgmt::show::{Filter, What};
use sluice_mgmt::trace::{PacketSpec, Start, TraceRequest};
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
    Connections,
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
