//! Queries in one spelling, which is read as the same query again.

use std::fmt;

use stdx::Timestamp;

use super::{Match, Order, Query, Test};

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(all) => joined(f, all, " and "),
            Self::Or(any) => joined(f, any, " or "),
            Self::Not(one) => write!(f, "not({one})"),
            Self::Test { test, negated } => single(f, test, *negated),
        }
    }
}

/// Whatever stands in a chain and is one itself gets parentheses, so that it stays one.
fn joined(f: &mut fmt::Formatter<'_>, of: &[Query], between: &str) -> fmt::Result {
    for (n, one) in of.iter().enumerate() {
        if n > 0 {
            f.write_str(between)?;
        }
        match one {
            Query::And(_) | Query::Or(_) => write!(f, "({one})")?,
            Query::Not(_) | Query::Test { .. } => write!(f, "{one}")?,
        }
    }
    Ok(())
}

fn single(f: &mut fmt::Formatter<'_>, test: &Test, negated: bool) -> fmt::Result {
    match test {
        Test::AgentConnected(wanted) => text(f, "agentConnected", wanted, negated),
        Test::AgentVersion(order, version) => {
            write!(f, "agentVersion {} ", operator(*order, negated))?;
            literal(f, version.text())
        }
        Test::Attribute(name, wanted) => text(f, format_args!("attribute:{name}"), wanted, negated),
        Test::Ec2InstanceId(wanted) => text(f, "ec2InstanceId", wanted, negated),
        Test::RegisteredAt(order, at) => {
            // Whole seconds are all that is looked at.
            let at = Timestamp::from_millis(at.as_secs().saturating_mul(1000));
            write!(f, "registeredAt {} {at}", operator(*order, negated))
        }
        Test::RunningTasks(order, count) => {
            write!(f, "runningTasksCount {} {count}", operator(*order, negated))
        }
        Test::TaskGroup(wanted) => text(f, "task:group", wanted, negated),
    }
}

fn text(
    f: &mut fmt::Formatter<'_>,
    subject: impl fmt::Display,
    wanted: &Match,
    negated: bool,
) -> fmt::Result {
    let not = if negated { "!" } else { "" };
    match wanted {
        Match::Exists => write!(f, "{subject} {not}exists"),
        Match::Compares(order, with) => {
            write!(f, "{subject} {} ", operator(*order, negated))?;
            literal(f, with)
        }
        Match::In(list) => {
            write!(f, "{subject} {not}in [")?;
            for (n, one) in list.iter().enumerate() {
                f.write_str(if n > 0 { ", " } else { "" })?;
                literal(f, one)?;
            }
            f.write_str("]")
        }
        Match::Like(pattern) => {
            write!(f, "{subject} {} ", if negated { "!~" } else { "=~" })?;
            quoted(f, pattern.source())
        }
    }
}

/// Of the orders only equality has a negated operator.
fn operator(order: Order, negated: bool) -> &'static str {
    match order {
        Order::Equal if negated => "!=",
        Order::Equal => "==",
        Order::Greater => ">",
        Order::GreaterEqual => ">=",
        Order::Less => "<",
        Order::LessEqual => "<=",
    }
}

fn literal(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { f.write_str(text) } else { quoted(f, text) }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("'")?;
    for letter in text.chars() {
        if letter == '\'' || letter == '\\' {
            f.write_str("\\")?;
        }
        write!(f, "{letter}")?;
    }
    f.write_str("'")
}
