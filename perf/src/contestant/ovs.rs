//! Open vSwitch with DPDK, as the distribution builds it, with rules that do the same.
//!
//! ```text
//!   br:      ports 1 and 2, the rules; port 3 is the tunnel, when one side is the underlay:
//!   br-phy:  that side's port and the chassis' address
//! ```

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::process::{Process, Site, preload, run};
use crate::rig::{DEVICES, follow};
use crate::scenario::{Network, Openflow, SIDE_MACS, peers, underlay_address};

/// Where Debian has the variant with DPDK.
const SWITCH: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Megabytes of packet buffers.
const MEMORY: &str = "512";
/// More connections than any scenario opens.
const CONNECTIONS: &str = "16000000";
/// How long the database may take.
const START: Duration = Duration::from_secs(10);

/// A switch in the making.
struct Switch<'a> {
    site: &'a Site,
    directory: PathBuf,
}

/// Starts a database and a switch, both of this run alone, with the scenario's rules.
pub(super) fn start(site: &Site, network: &Network) -> anyhow::Result<Process> {
    let (rules, tunnel) = match &network.openflow {
        Openflow::Rules(rules) => (rules, None),
        Openflow::Tunnels {
            rules,
            underlay,
            kind,
            peers,
        } => (rules, Some((*underlay, *kind, *peers))),
        Openflow::Not(why) => bail!("{why}"),
    };
    let directory = site.file("ovs");
    // Of the scenario before.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let switch = Switch { site, directory };
    let database = switch.database()?;
    // From here on the database ends with the switch.
    let mut process = match switch.process() {
        Ok(process) => process,
        Err(error) => {
            end(database);
            return Err(error);
        }
    };
    process.accompany(database);
    if let Err(error) = switch.set_up(&process, tunnel) {
        bail!("{error:#}: {}", process.last_words());
    }
    std::fs::write(switch.file("rules"), rules.join("\n") + "\n")?;
    let file = switch.file("rules").to_string_lossy().into_owned();
    switch.tool("ovs-ofctl", &["--bundle", "replace-flows", "br", &file])?;
    switch.control(&["dpctl/ct-set-maxconns", CONNECTIONS])?;
    process.wait_until_polling()?;
    Ok(process)
}

fn end(mut child: Child) {
    // Either fails only when it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

impl Switch<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A program that looks for everything in this run's directory.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.directory);
        }
        command
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.command(program).args(arguments))
    }

    fn set(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.tool("ovs-vsctl", &[&["--no-wait"], arguments].concat())
    }

    /// Asks the switch, which runs once it is settled.
    fn control(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let target = format!("--target={}", self.file("control").display());
        self.tool("ovs-appctl", &[&[target.as_str()], arguments].concat())
    }

    fn database(&self) -> anyhow::Result<Child> {
        let file = self.file("conf.db").to_string_lossy().into_owned();
        self.tool("ovsdb-tool", &["create", &file, SCHEMA])?;
        let socket = self.file("db.sock");
        let mut server = self.command("ovsdb-server");
        server
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = follow(&mut server)
            .spawn()
            .context("ovsdb-server: apt-get install openvswitch-switch-dpdk")?;
        let begin = Instant::now();
        while !socket.exists() {
            if begin.elapsed() > START {
                end(child);
                bail!("ovsdb-server does not start");
            }
            sleep(Duration::from_millis(10));
        }
        let configured = self.configure();
        if configured.is_err() {
            end(child);
            return configured.map(|_| unreachable!("it failed"));
        }
        Ok(child)
    }

    fn configure(&self) -> anyhow::Result<()> {
        self.set(&["init"])?;
        let settings = [
            "dpdk-init=true".to_owned(),
            "dpdk-extra=\"--in-memory --no-pci --no-telemetry\"".to_owned(),
            format!("dpdk-socket-mem={MEMORY}"),
            format!("dpdk-lcore-mask={:#x}", 1_u64 << self.site.other_cpu),
            format!("pmd-cpu-mask={:#x}", 1_u64 << self.site.cpu),
        ];
        for setting in settings {
            self.set(&[
                "set",
                "Open_vSwitch",
                ".",
                &format!("other_config:{setting}"),
            ])?;
        }
        Ok(())
    }

    /// In a network namespace of its own: its bridges' devices are nobody else's.
    fn process(&self) -> anyhow::Result<Process> {
        let mut command = self.command("unshare");
        // Only the switch itself has what the rig refers to.
        let object = format!("LD_PRELOAD={}", preload(self.site)?.display());
        command.args(["--net", "--", "env", &object, SWITCH]);
        command.arg(format!("--unixctl={}", self.file("control").display()));
        command.arg(format!("unix:{}", self.file("db.sock").display()));
        Process::start(self.site, "ovs", "TERM", command)
    }

    fn set_up(&self, process: &Process, tunnel: Option<(usize, &str, u32)>) -> anyhow::Result<()> {
        self.bridge(tunnel.map(|(underlay, ..)| underlay))?;
        match tunnel {
            Some((underlay, kind, count)) => self.tunnel(process, underlay, kind, count),
            None => Ok(()),
        }
    }

    /// The bridge with the rules and the ports of both sides; that on the underlay has its own.
    fn bridge(&self, underlay: Option<usize>) -> anyhow::Result<()> {
        self.set(&[
            "add-br",
            "br",
            "--",
            "set",
            "Bridge",
            "br",
            "datapath_type=netdev",
            "fail_mode=secure",
        ])?;
        if let Some(side) = underlay {
            let address = format!("other_config:hwaddr=\"{}\"", SIDE_MACS[side]);
            self.set(&[
                "add-br",
                "br-phy",
                "--",
                "set",
                "Bridge",
                "br-phy",
                "datapath_type=netdev",
                &address,
            ])?;
        }
        for (side, device) in DEVICES.into_iter().enumerate() {
            let bridge = if underlay == Some(side) {
                "br-phy"
            } else {
                "br"
            };
            let port = format!("p{side}");
            let number = format!("ofport_request={}", side + 1);
            let devargs = format!("options:dpdk-devargs={device}");
            self.set(&[
                "add-port",
                bridge,
                &port,
                "--",
                "set",
                "Interface",
                &port,
                "type=dpdk",
                &devargs,
                &number,
                "mtu_request=1700",
            ])?;
        }
        self.settle("p1")
    }

    /// Waits until the switch has done everything asked for.
    fn settle(&self, interface: &str) -> anyhow::Result<()> {
        let change = [
            "--timeout=30",
            "set",
            "Interface",
            interface,
            "external_ids:asked=yes",
        ];
        self.tool("ovs-vsctl", &change).map(drop)
    }

    /// The tunnel, the chassis' address, and the MACs of all remote ends.
    fn tunnel(
        &self,
        process: &Process,
        underlay: usize,
        kind: &str,
        count: u32,
    ) -> anyhow::Result<()> {
        let of = format!("type={kind}");
        self.set(&[
            "add-port",
            "br",
            "tun",
            "--",
            "set",
            "Interface",
            "tun",
            &of,
            "options:remote_ip=flow",
            "options:key=flow",
            "options:csum=true",
            "ofport_request=3",
        ])?;
        self.settle("tun")?;
        let address = underlay_address();
        let id = process.id().to_string();
        for arguments in [
            &["address", "add", address.as_str(), "dev", "br-phy"][..],
            &["link", "set", "br-phy", "up"],
        ] {
            run(Command::new("nsenter")
                .args(["--net", "-t", &id, "--", "ip"])
                .args(arguments))?;
        }
        if kind == "geneve" {
            let option = "{class=0x102,type=0x80,len=4}->tun_metadata0";
            self.tool("ovs-ofctl", &["add-tlv-map", "br", option])?;
        }
        for (ip, mac) in peers(count) {
            self.control(&["tnl/arp/set", "br-phy", &ip.to_string(), &mac.to_string()])?;
        }
        // The bridge learns where it is by the first frames; a fixed rule needs none.
        let out = format!("in_port=LOCAL,actions=output:{}", underlay + 1);
        let into = format!("in_port={},actions=LOCAL", underlay + 1);
        self.tool("ovs-ofctl", &["del-flows", "br-phy"])?;
        self.tool("ovs-ofctl", &["add-flow", "br-phy", &out])?;
        self.tool("ovs-ofctl", &["add-flow", "br-phy", &into])?;
        Ok(())
    }
}
