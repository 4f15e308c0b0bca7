//! What would happen to a packet, step by step, with names.
//!
//! ```text
//!  TraceRequest ─► packet: fill in what was left out, make the frame
//!                  entry:  port | tunnel | frame of a device ─► Entered
//!                  pipeline::walk with a recorder ─► events
//!                  narrate, refusal, verdict: events into words
//! ```
//!
//! The walk is the one the workers take. It reads the tables, what is learned and the connections without a lock
//! and writes nothing, so it runs on the thread of the client that asks: no packet waits for a trace, and a
//! trace leaves no connection, no neighbor and no counter behind.

mod acl;
mod entry;
mod narrate;
mod packet;
mod refusal;
mod request;
#[cfg(test)]
mod tests;
mod translation;
mod verdict;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_fastpath::connections::{PortChooser, TcpFlags};
use sluice_fastpath::pipeline::{self, View};
use sluice_fastpath::stage::enter::Entered;
use sluice_fastpath::stage::{enter, nat};
use sluice_fastpath::trace::Event;
use sluice_fastpath::verdict::{DropReason, Verdict};
use sluice_net::L4;
use thiserror::Error;

pub use request::{FragmentSpec, PacketSpec, Start, TraceRequest};

use narrate::Narrator;

/// Why a packet cannot be traced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct TraceError {
    /// What is wrong with the request.
    pub message: String,
    /// What would mend it.
    pub help: Option<String>,
}

impl TraceError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What would happen to a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The packet as it enters, in one line.
    pub packet: String,
    /// What was assumed because the request left it out.
    pub notes: Vec<String>,
    /// What happens, in order; the last step is the verdict.
    pub steps: Vec<Step>,
    /// The headers it leaves with; `None` when it does not leave.
    pub headers: Option<Value>,
    /// What becomes of it: `transmit`, `flood`, `punt`, `hand-off`, `reject` or `drop`.
    pub verdict: String,
    /// Name of the reason, when it is dropped.
    pub reason: Option<String>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The part of the pipeline.
    pub stage: String,
    /// What happens, for people.
    pub text: String,
    /// The same for machines.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Step {
    fn new(stage: &str, text: impl Into<String>, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self {
            stage: stage.to_owned(),
            text: text.into(),
            fields,
        }
    }
}

/// Of a RST it matters where in the stream it comes from, which a trace does not know.
const RESET: &str = "a RST passes, and ends the connection only if its sequence number is where the stream is, as far as that is known";

/// Walks the packet of a request. `seed` makes source ports as unpredictable as those of a worker.
///
/// # Errors
/// When the request names what is not there, or leaves out what cannot be guessed.
pub fn trace(view: View<'_>, request: &TraceRequest, seed: [u64; 2]) -> Result<Trace, TraceError> {
    let (frame, entered, mut notes) = entry::enter(view, request)?;
    let packet = sluice_net::show(&frame);
    let mut events: Vec<Event> = Vec::new();
    let mut entered = match entered {
        Ok(entered) => entered,
        Err(verdict) => return Ok(ended_early(view, &frame, packet, notes, verdict)),
    };
    let zone = enter::zone(view.tables, &entered.entry);
    let mut ports = PortChooser::new(seed);
    let find = |entered: &Entered| {
        let key = entered.datagram().and_then(|ip| nat::flow_key(ip, zone));
        key.and_then(|key| nat::find(view.connections, &key))
    };
    let mut hit = find(&entered);
    let mut outcome = pipeline::walk(view, &entered, zone, hit, &mut ports, &mut events);
    if outcome.verdict == Verdict::Reassemble
        && let Some(first) = entry::first_fragment(view, request)
    {
        // As if the first had come by.
        entered.tell(first);
        events.clear();
        hit = find(&entered);
        outcome = pipeline::walk(view, &entered, zone, hit, &mut ports, &mut events);
    }
    let mut narrator = Narrator::new(view, &entered, outcome.headers);
    if let Some((connection, direction)) = &hit {
        narrator.known(connection, *direction);
    }
    events.iter().for_each(|event| narrator.tell(event));
    if let (None, Some(proposal)) = (&hit, &outcome.proposal) {
        let foreseen = view.connections.foresees(&proposal.original);
        notes.extend(foreseen.map(refusal::foreseen));
    }
    let reset = |ip: &sluice_net::Ip| nat::tcp_flags(ip).any(TcpFlags::RST);
    if hit.is_some() && entered.headers.ip().is_some_and(reset) {
        notes.push(RESET.to_owned());
    }
    let headers = matches!(outcome.verdict, Verdict::Transmit(_) | Verdict::Flood(_))
        .then(|| headers(&outcome.headers));
    Ok(finish(
        packet,
        notes,
        narrator.steps,
        headers,
        outcome.verdict,
    ))
}

/// The verdict came before the packet was in the logical network.
fn ended_early(
    view: View<'_>,
    frame: &[u8],
    packet: String,
    notes: Vec<String>,
    verdict: Verdict,
) -> Trace {
    let text = verdict::early(view, frame, &verdict);
    let step = Step::new("verdict", text, verdict::fields(view.tables, &verdict));
    finish(packet, notes, vec![step], None, verdict)
}

fn finish(
    packet: String,
    notes: Vec<String>,
    steps: Vec<Step>,
    headers: Option<Value>,
    verdict: Verdict,
) -> Trace {
    let reason = match verdict {
        Verdict::Drop(reason) | Verdict::Reject { reason, .. } => Some(reason.name().to_owned()),
        Verdict::Refuse { .. } => Some(DropReason::AclReject.name().to_owned()),
        _ => None,
    };
    Trace {
        packet,
        notes,
        steps,
        headers,
        verdict: verdict::kind(&verdict).to_owned(),
        reason,
    }
}

/// The headers a packet leaves with.
fn headers(headers: &sluice_net::Headers) -> Value {
    let mut fields = serde_json::json!({ "eth_src": headers.eth_src, "eth_dst": headers.eth_dst });
    if let (Some(ip), Value::Object(fields)) = (headers.ip(), &mut fields) {
        fields.insert("ip_src".into(), serde_json::json!(ip.src));
        fields.insert("ip_dst".into(), serde_json::json!(ip.dst));
        fields.insert("ttl".into(), ip.ttl.into());
        fields.insert(
            "proto".into(),
            crate::show::query::protocol_name(ip.proto).into(),
        );
        match (ip.l4, ip.ports()) {
            (L4::Echo { id, .. }, _) => {
                fields.insert("id".into(), id.into());
            }
            (_, Some((src, dst))) => {
                fields.insert("src_port".into(), src.into());
                fields.insert("dst_port".into(), dst.into());
            }
            _ => {}
        }
    }
    fields
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:11}{}", "packet", self.packet)?;
        for note in &self.notes {
            writeln!(f, "{:11}{note}", "note")?;
        }
        for step in &self.steps {
            writeln!(f, "{:11}{}", step.stage, step.text)?;
        }
        let Some(Value::Object(headers)) = &self.headers else {
            return Ok(());
        };
        let field = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_string().trim_matches('"').to_owned())
        };
        let (Some(eth_src), Some(eth_dst)) = (field("eth_src"), field("eth_dst")) else {
            return Ok(());
        };
        write!(
            f,
            "{:11}Ethernet source {eth_src}, destination {eth_dst}",
            "leaves as"
        )?;
        if let (Some(src), Some(dst), Some(ttl), Some(proto)) = (
            field("ip_src"),
            field("ip_dst"),
            field("ttl"),
            field("proto"),
        ) {
            let part = |word: &str, name: &str| {
                field(name)
                    .map(|n| format!(" {word} {n}"))
                    .unwrap_or_default()
            };
            let (from, to) = (part("port", "src_port"), part("port", "dst_port"));
            let id = part("id", "id");
            write!(f, "; {proto}{id} from {src}{from} to {dst}{to}, TTL {ttl}")?;
        }
        writeln!(f)
    }
}
