//! What became of a packet's addresses, in words.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::tables::{Choosing, Dnat, DnatKind, Piece, Snat, SnatKind, Vip};
use sluice_net::L4;

use super::narrate::{Narrator, noun};

/// The backends that get no new connections because of their health, each with the reason.
pub(super) fn ill(vip: &Vip) -> Vec<String> {
    let ill = vip.backends.iter().filter_map(|backend| {
        let condition = backend.liveness.get();
        if condition.health.serves() {
            return None;
        }
        let endpoint = match backend.port {
            Some(port) => format!("{}:{port}", backend.ip),
            None => backend.ip.to_string(),
        };
        let why = condition.ailment.map(|ailment| format!(" ({ailment})"));
        Some(format!(
            "backend {endpoint} {}{}",
            condition.health.name(),
            why.unwrap_or_default()
        ))
    });
    ill.collect()
}

impl Narrator<'_> {
    pub(super) fn connection(&mut self, reply: bool, translated: bool) {
        let way = if reply { "answer" } else { "packet" };
        let kind = if translated {
            "a translated"
        } else {
            "an untranslated"
        };
        let text = format!("{way} of {kind} connection");
        self.step(
            "connection",
            text,
            json!({ "reply": reply, "translated": translated }),
        );
    }

    pub(super) fn untranslate(
        &mut self,
        router: DatapathId,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
    ) {
        let name = self.datapath(router);
        let text = format!(
            "router {name}: destination {} back to {}",
            self.end(from),
            self.end(to)
        );
        let fields = json!({ "router": name, "from": self.end(from), "to": self.end(to) });
        self.step("nat", text, fields);
    }

    pub(super) fn untranslate_source(
        &mut self,
        datapath: DatapathId,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
    ) {
        let (from, to) = (self.end(from), self.end(to));
        let noun = noun(self.tables(), datapath);
        let fields = json!({ "datapath": self.datapath(datapath), "from": from, "to": to });
        self.step("nat", format!("{noun}: source {from} back to {to}"), fields);
    }

    pub(super) fn balance(
        &mut self,
        datapath: DatapathId,
        vip: u32,
        by: Choosing,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
    ) {
        let (from, to) = (self.end(from), self.end(to));
        let tables = self.tables();
        let balancers = tables.piece(datapath).map(Piece::balancers);
        let Some(vip) = balancers.and_then(|balancers| balancers.vips().get(vip as usize)) else {
            return;
        };
        let serving = vip.backends.iter().filter(|backend| backend.serves());
        let how = match by {
            Choosing::Connection => "the backend of its connection".to_owned(),
            Choosing::Affinity => "which the client had before".to_owned(),
            Choosing::Hash => format!("one of {} that serve", serving.count()),
        };
        let ill = match by {
            Choosing::Connection => Vec::new(),
            Choosing::Affinity | Choosing::Hash => ill(vip),
        };
        let others = ill.iter().map(|one| format!("; {one}"));
        let text = format!(
            "{}: load balancer {} sends {from} to {to}, {how}{}",
            noun(tables, datapath),
            vip.balancer,
            others.collect::<String>()
        );
        let fields = json!({
            "datapath": self.datapath(datapath), "load_balancer": vip.balancer,
            "known": by == Choosing::Connection, "offline": ill,
            "from": from, "to": to,
        });
        self.step("balance", text, fields);
    }

    pub(super) fn translate_destination(
        &mut self,
        router: DatapathId,
        known: bool,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
    ) {
        let name = self.datapath(router);
        let (external, _) = from;
        let rules = self.tables().router(router);
        let rule = rules
            .filter(|_| !known)
            .and_then(|(_, router)| router.nat.dnat().find(|rule| rule.external == external))
            .map(dnat_text);
        let by = match &rule {
            Some(rule) => format!("rule \"{rule}\""),
            None => "the connection's translation".to_owned(),
        };
        let text = format!(
            "router {name}: destination {} to {} by {by}",
            self.end(from),
            self.end(to)
        );
        let fields =
            json!({ "router": name, "rule": rule, "from": self.end(from), "to": self.end(to) });
        self.step("nat", text, fields);
    }

    pub(super) fn translate(
        &mut self,
        router: DatapathId,
        rule: Option<usize>,
        from: (IpAddr, u16),
        to: (IpAddr, u16),
    ) {
        let name = self.datapath(router);
        let rule = rule
            .and_then(|index| self.tables().router(router)?.1.nat.snat().get(index))
            .map(snat_text);
        let by = match &rule {
            Some(rule) => format!("rule \"{rule}\""),
            None => "the connection's translation".to_owned(),
        };
        let text = format!(
            "router {name}: source {} to {} by {by}",
            self.end(from),
            self.end(to)
        );
        let fields =
            json!({ "router": name, "rule": rule, "from": self.end(from), "to": self.end(to) });
        self.step("nat", text, fields);
    }

    /// The source is called the same by all remote ends.
    pub(super) fn map(
        &mut self,
        router: DatapathId,
        (rule, made): (usize, bool),
        inside: (IpAddr, u16),
        outside: (IpAddr, u16),
    ) {
        let name = self.datapath(router);
        let (inside, outside) = (self.end(inside), self.end(outside));
        let rules = self
            .tables()
            .router(router)
            .map(|(_, router)| router.nat.snat());
        let rule = rules.and_then(|rules| rules.get(rule)).map(snat_text);
        let text = match made {
            true => format!("router {name}: {inside} is to be {outside} for all remote ends"),
            false => format!("router {name}: {inside} is {outside} for all remote ends already"),
        };
        let fields = json!({
            "router": name, "rule": rule, "made": made, "inside": inside, "outside": outside,
        });
        self.step("mapping", text, fields);
    }

    pub(super) fn enter_mapping(
        &mut self,
        router: DatapathId,
        outside: (IpAddr, u16),
        inside: (IpAddr, u16),
    ) {
        let name = self.datapath(router);
        let (outside, inside) = (self.end(outside), self.end(inside));
        let text =
            format!("router {name}: destination {outside} to {inside}, which is mapped to it");
        let fields = json!({ "router": name, "outside": outside, "inside": inside });
        self.step("mapping", text, fields);
    }

    /// Address and port, or identifier of an echo; an ICMP error has neither.
    pub(super) fn end(&self, (ip, port): (IpAddr, u16)) -> String {
        match self.context.first.ip().map(|ip| ip.l4) {
            Some(L4::Echo { .. }) => format!("{ip} id {port}"),
            Some(L4::IcmpError { .. }) => ip.to_string(),
            _ => SocketAddr::new(ip, port).to_string(),
        }
    }
}

/// A rule that translates sources, in one line.
pub(super) fn snat_text(rule: &Snat) -> String {
    match rule.kind {
        SnatKind::Snat => format!("snat {} -> {}", rule.logical, rule.external),
        SnatKind::Floating | SnatKind::Stateless => {
            format!(
                "dnat_and_snat {} <-> {}",
                rule.logical.addr(),
                rule.external
            )
        }
    }
}

/// A rule that translates destinations, in one line.
fn dnat_text(rule: &Dnat) -> String {
    match rule.kind {
        DnatKind::Dnat => format!("dnat {} -> {}", rule.external, rule.logical),
        DnatKind::Floating | DnatKind::Stateless => {
            format!("dnat_and_snat {} <-> {}", rule.logical, rule.external)
        }
    }
}
