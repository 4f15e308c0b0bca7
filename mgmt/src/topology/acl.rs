//! Access control lists as they were declared, with the columns of OVN's ACL table.

use std::sync::Arc;

/// One rule. Of those that a packet matches, the one of the lowest tier and, there, of the highest priority holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Where it is applied.
    pub direction: AclDirection,
    /// Tiers are asked one after the other: 0 to 3.
    pub tier: u8,
    /// Within its tier, 0 to 32767; the greater one comes first.
    pub priority: u16,
    /// Which packets it is for, in OVN's expression language.
    pub matches: String,
    /// What becomes of them.
    pub action: AclAction,
    /// What logs and tables call it.
    pub name: Option<String>,
    /// Stays with the connections that it lets in.
    pub label: Option<u32>,
    /// Packets that it decides are logged.
    pub log: Option<AclLog>,
}

/// How packets are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AclLog {
    /// How grave a message is.
    pub severity: Severity,
    /// Most messages a second; `None` leaves it to the limit of all logs.
    pub meter: Option<u32>,
}

/// Where a rule is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclDirection {
    /// When a packet comes from a port.
    FromLport,
    /// The same, after load balancing: OVN's option `apply-after-lb`.
    FromLportAfterLb,
    /// When a packet goes to a port.
    ToLport,
}

impl AclDirection {
    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::FromLport | Self::FromLportAfterLb => "from-lport",
            Self::ToLport => "to-lport",
        }
    }
}

/// What becomes of packets that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclAction {
    /// They pass; their connections are tracked if any rule of the switch is `allow-related`.
    Allow,
    /// They pass, and so do answers and errors about them.
    AllowRelated,
    /// They pass and are not tracked, whatever else is said of them.
    AllowStateless,
    /// They are dropped.
    Drop,
    /// They are dropped and the sender is told.
    Reject,
    /// The next tier decides.
    Pass,
}

impl AclAction {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Allow,
        Self::AllowRelated,
        Self::AllowStateless,
        Self::Drop,
        Self::Reject,
        Self::Pass,
    ];

    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::AllowRelated => "allow-related",
            Self::AllowStateless => "allow-stateless",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Pass => "pass",
        }
    }
}

/// How grave a log message is, as syslog has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Act at once.
    Alert,
    /// Should be looked at.
    Warning,
    /// Normal but notable.
    Notice,
    /// For information.
    #[default]
    Info,
    /// For finding errors.
    Debug,
}

impl Severity {
    /// All of them, the gravest first.
    pub const ALL: [Self; 5] = [
        Self::Alert,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Switch ports with a name. Rules of a group hold in every switch that has a port of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortGroup {
    /// Names of the ports.
    pub ports: Vec<String>,
    /// Its rules.
    pub acls: Arc<[Acl]>,
}
