//! How a condition's operators compare one value of a request with one of a policy.

use std::cmp::Ordering;
use std::net::IpAddr;

use stdx::Timestamp;

use super::Context;
use super::pattern::{like, like_with, plain};

/// A comparison, without its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The same letters.
    Text,
    /// The same letters, whatever their case.
    TextIgnoreCase,
    /// A pattern.
    TextLike,
    /// Numbers in one of these orders.
    Number(&'static [Ordering]),
    /// Instants in one of these orders.
    Date(&'static [Ordering]),
    /// `true` or `false`.
    Bool,
    /// Base64 of the same bytes.
    Binary,
    /// An address in a block.
    Ip,
    /// An ARN, part by part, with patterns.
    Arn,
}

impl Comparison {
    /// Whether `value` of the request satisfies `wanted` of the policy. What can not be read as what
    /// the operator compares satisfies nothing.
    pub(super) fn holds(self, value: &str, wanted: &str, context: &Context) -> bool {
        if self == Self::TextLike {
            return like_with(wanted, value, context);
        }
        let Some(wanted) = plain(wanted, context) else { return false };
        match self {
            Self::Text | Self::Binary => wanted == value,
            Self::TextLike => false,
            Self::TextIgnoreCase => wanted.eq_ignore_ascii_case(value),
            Self::Bool => wanted.eq_ignore_ascii_case(value) && is_bool(value),
            Self::Number(orders) => {
                let pair = value.parse::<f64>().ok().zip(wanted.parse::<f64>().ok());
                pair.and_then(|(a, b)| a.partial_cmp(&b)).is_some_and(|o| orders.contains(&o))
            }
            Self::Date(orders) => {
                date(value).zip(date(&wanted)).is_some_and(|(a, b)| orders.contains(&a.cmp(&b)))
            }
            Self::Ip => inside(value, &wanted).unwrap_or(false),
            Self::Arn => arn(value, &wanted),
        }
    }
}

fn is_bool(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

/// An instant of ISO 8601, a day of it, or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(Timestamp::from_secs_f64(seconds));
    }
    if text.len() == 10 {
        return Timestamp::parse(&format!("{text}T00:00:00Z"));
    }
    Timestamp::parse(text)
}

/// Whether an address is in a block such as `10.0.0.0/8`; an address alone is a block of one.
fn inside(address: &str, block: &str) -> Option<bool> {
    let address: IpAddr = address.parse().ok()?;
    let (network, bits) = match block.split_once('/') {
        Some((network, bits)) => (network, Some(bits.parse::<u32>().ok()?)),
        None => (block, None),
    };
    let network: IpAddr = network.parse().ok()?;
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let drop = 32_u32.checked_sub(bits.unwrap_or(32))?;
            let cut = |address: u32| address.checked_shr(drop).unwrap_or(0);
            Some(cut(a.to_bits()) == cut(b.to_bits()))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let drop = 128_u32.checked_sub(bits.unwrap_or(128))?;
            let cut = |address: u128| address.checked_shr(drop).unwrap_or(0);
            Some(cut(a.to_bits()) == cut(b.to_bits()))
        }
        _ => Some(false),
    }
}

/// The six parts of an ARN are matched one by one, so that a `*` does not reach over a colon; the
/// last part may have colons.
fn arn(value: &str, wanted: &str) -> bool {
    let value: Vec<&str> = value.splitn(6, ':').collect();
    let wanted: Vec<&str> = wanted.splitn(6, ':').collect();
    value.len() == 6
        && wanted.len() == 6
        && value.iter().zip(&wanted).all(|(value, wanted)| like(wanted, value, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_as_their_kind_says() {
        use Ordering::{Equal, Greater, Less};
        let context = Context::default().with("aws:username", "ann*");
        let table: &[(Comparison, &str, &str, bool)] = &[
            (Comparison::Text, "a", "a", true),
            (Comparison::Text, "a", "A", false),
            (Comparison::Text, "a", "*", false),
            (Comparison::Text, "ann*", "${aws:username}", true),
            (Comparison::TextIgnoreCase, "a", "A", true),
            (Comparison::TextLike, "abc", "a*", true),
            (Comparison::TextLike, "annie", "${aws:username}", false),
            (Comparison::Number(&[Less, Equal]), "3", "3.0", true),
            (Comparison::Number(&[Less]), "10", "9", false),
            (Comparison::Number(&[Less]), "x", "9", false),
            (Comparison::Date(&[Greater]), "2026-01-02T00:00:00Z", "2026-01-01", true),
            (Comparison::Date(&[Less]), "2026-01-02T00:00:00Z", "0", false),
            (Comparison::Date(&[Less]), "2026-01-02T00:00:00Z", "soon", false),
            (Comparison::Bool, "true", "True", true),
            (Comparison::Bool, "x", "x", false),
            (Comparison::Ip, "10.1.2.3", "10.0.0.0/8", true),
            (Comparison::Ip, "11.1.2.3", "10.0.0.0/8", false),
            (Comparison::Ip, "11.1.2.3", "0.0.0.0/0", true),
            (Comparison::Ip, "10.1.2.3", "10.1.2.3", true),
            (Comparison::Ip, "10.1.2.3", "10.1.2.3/33", false),
            (Comparison::Ip, "::1", "::/0", true),
            (Comparison::Ip, "::1", "0.0.0.0/0", false),
            (Comparison::Arn, "arn:aws:ecs:r:1:cluster/a", "arn:aws:ecs:*:1:cluster/*", true),
            (Comparison::Arn, "arn:aws:ecs:r:1:cluster/a", "arn:aws:ecs:*:cluster/*", false),
            (Comparison::Arn, "arn:aws:ecs:r:1:cluster/a", "*", false),
        ];
        for (comparison, value, wanted, holds) in table {
            let found = comparison.holds(value, wanted, &context);
            assert_eq!(found, *holds, "{comparison:?} {value} {wanted}");
        }
    }
}
