//! What travels over the control socket: one JSON object a line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::show::{Filter, Query};
use crate::trace::TraceRequest;

/// Version of requests and replies. A change that an older side would misread raises it.
pub const PROTOCOL: u32 = 1;

/// The longest request, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL`] of the client.
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub command: Command,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Command {
    /// Rows of a table.
    Show(Query),
    /// What would happen to a packet.
    Trace(TraceRequest),
    /// Read the configuration anew and put it into effect.
    Reload,
    /// Say what a configuration would change.
    Check {
        /// Absolute path of the node file; `None` is the one the daemon was started with.
        config: Option<String>,
    },
    /// Forget something learned.
    Flush(Flush),
    /// All counters as text that Prometheus reads.
    Metrics,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Flush {
    /// Resolved next hops.
    Neighbors {
        /// Only of this router port.
        port: Option<String>,
        /// Only this address.
        ip: Option<std::net::IpAddr>,
    },
    /// Learned MACs.
    Fdb {
        /// Only of this switch.
        switch: Option<String>,
    },
    /// Connections: what is open now ends; packets that follow may open it anew.
    Connections {
        /// Only these; all when nothing is said. Filters are those of [`What::Connections`](crate::show::What).
        #[serde(default)]
        filter: Box<Filter>,
    },
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Reply {
    /// Some rows of a table, objects with the same keys.
    Rows {
        /// The rows.
        rows: Vec<Value>,
    },
    /// One object: a trace, or the report of a reload or check.
    Value {
        /// The object.
        value: Value,
    },
    /// Text for people.
    Text {
        /// The text.
        text: String,
    },
    /// The end of the answer.
    Done {
        /// A sentence about what was done, or about what was left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The end: it was refused.
    Error {
        /// Why.
        message: String,
        /// What would mend it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

impl Request {
    /// A request in this build's protocol.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            v: PROTOCOL,
            command,
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The reply to give: not JSON, another version, or an unknown command.
    pub fn parse(line: &str) -> Result<Self, Reply> {
        #[derive(Deserialize)]
        struct Version {
            v: Option<u32>,
        }
        let refuse =
            |error: serde_json::Error| Reply::error(format!("the request cannot be read: {error}"));
        let version: Version = serde_json::from_str(line).map_err(refuse)?;
        match version.v {
            Some(PROTOCOL) => serde_json::from_str(line).map_err(refuse),
            Some(other) => Err(Reply::refuse(
                format!("the client speaks protocol {other}, this sluiced speaks {PROTOCOL}"),
                "use the sluicectl that belongs to the running sluiced",
            )),
            None => Err(Reply::error("the request has no protocol version (`v`)")),
        }
    }
}

impl Reply {
    /// A refusal.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error {
            message: message.into(),
            help: None,
        }
    }

    /// A refusal with its mend.
    #[must_use]
    pub fn refuse(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Error {
            message: message.into(),
            help: Some(help.into()),
        }
    }

    /// The end, with nothing more to say.
    #[must_use]
    pub fn done() -> Self {
        Self::Done { note: None }
    }

    /// Is it the last line of an answer?
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }
}
