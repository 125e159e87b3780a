//! Rules: conditions on a request, and what is done with one that fulfils them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GroupId, RuleId};

/// A rule of an HTTP or HTTPS listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its identity.
    pub id: RuleId,
    /// Its place: lower is tried first, and access logs tell it.
    pub priority: u32,
    /// All of them have to hold.
    pub conditions: Vec<Condition>,
    /// What is done.
    pub action: Action,
}

/// A condition holds when any of its values does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The host of the request without its port, whatever its case.
    Host(Vec<Pattern>),
    /// The path without the query, as it was sent and in its case.
    Path(Vec<Pattern>),
    /// A header field's value, whatever its case.
    Header {
        /// The field's name, whatever its case.
        name: String,
        /// What it may be.
        values: Vec<Pattern>,
    },
    /// The method, exactly.
    Method(Vec<String>),
    /// A parameter of the query, whatever its case.
    Query(Vec<QueryPattern>),
    /// The address that the connection came from.
    SourceIp(Vec<Cidr>),
}

/// A text with wildcards, or a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// `*` stands for any number of characters and `?` for exactly one; there is no escape but `\*`,
    /// `\?` and `\\`, which header and query conditions know.
    Wildcard(String),
    /// A regular expression that has to match somewhere (`RegexValues`). One that does not compile
    /// matches nothing; the owner of the table refuses it before, with [`Pattern::check`].
    Regex(String),
}

/// A parameter of the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPattern {
    /// Its name, with wildcards; none means any.
    pub key: Option<String>,
    /// Its value, with wildcards.
    pub value: String,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The range of the addresses whose first `bits` bits are those of `network`; none if there are not
    /// so many.
    pub const fn new(network: IpAddr, bits: u8) -> Option<Self> {
        let most = match network {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if bits > most { None } else { Some(Self { network, bits }) }
    }

    /// Whether the address lies in the range. An IPv4 address that came by IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The text is not a range such as `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a range of addresses such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct CidrError(String);

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (network, bits) = text.split_once('/').ok_or_else(wrong)?;
        let network = network.parse().map_err(|_| wrong())?;
        Self::new(network, bits.parse().map_err(|_| wrong())?).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

/// What is done with a request, or with a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A target of one of the groups serves it.
    Forward {
        /// The groups with their weights. Weights that are all zero forward nothing (503).
        groups: Vec<WeightedGroup>,
        /// How long a client stays with the group that was chosen for it, if it does.
        #[serde(default)]
        stickiness: Option<Duration>,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Fixed {
        /// The status: 2xx, 4xx or 5xx.
        status: u16,
        /// The body's type, if there is a body.
        content_type: Option<String>,
        /// The body.
        body: String,
    },
}

/// A group in an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedGroup {
    /// Which.
    pub group: GroupId,
    /// Its share: 0 to 999.
    pub weight: u32,
}

/// Where a client is sent. Each part may use `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without
/// the leading slash) and `#{query}` for that of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: String,
    /// The path, with its leading slash.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// For how long.
    pub status: RedirectStatus,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status: RedirectStatus::Found,
        }
    }
}

/// Whether a redirect is for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectStatus {
    /// 301.
    MovedPermanently,
    /// 302.
    Found,
}
