//! What a series of measurements is called, and in what it is measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A metric: a name in a namespace, told apart by dimensions. The order of dimensions means nothing.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricId {
    /// The namespace, such as `AWS/ECS`.
    pub namespace: String,
    /// The name, such as `CPUUtilization`.
    pub name: String,
    /// Names and values, in the order of their names.
    pub dimensions: Vec<(String, String)>,
}

impl MetricId {
    /// The metric of this name with these dimensions.
    pub fn new<N, V>(
        namespace: impl Into<String>,
        name: impl Into<String>,
        dimensions: impl IntoIterator<Item = (N, V)>,
    ) -> Self
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut dimensions: Vec<(String, String)> =
            dimensions.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        dimensions.sort();
        Self { namespace: namespace.into(), name: name.into(), dimensions }
    }
}

impl fmt::Display for MetricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.namespace, self.name)?;
        self.dimensions.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

macro_rules! units {
    ($($name:ident = $text:literal,)+) => {
        /// What a metric is measured in. Data of one metric in several units are kept apart.
        /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum Unit {
            $(#[doc = concat!("`", $text, "`.")] $name,)+
            /// `None`: no unit was given.
            #[default]
            None,
        }

        impl Unit {
            /// Its spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                    Self::None => "None",
                }
            }

            /// The unit of this spelling.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)+
                    "None" => Some(Self::None),
                    _ => None,
                }
            }
        }
    };
}

units! {
    Seconds = "Seconds",
    Microseconds = "Microseconds",
    Milliseconds = "Milliseconds",
    Bytes = "Bytes",
    Kilobytes = "Kilobytes",
    Megabytes = "Megabytes",
    Gigabytes = "Gigabytes",
    Terabytes = "Terabytes",
    Bits = "Bits",
    Kilobits = "Kilobits",
    Megabits = "Megabits",
    Gigabits = "Gigabits",
    Terabits = "Terabits",
    Percent = "Percent",
    Count = "Count",
    BytesPerSecond = "Bytes/Second",
    KilobytesPerSecond = "Kilobytes/Second",
    MegabytesPerSecond = "Megabytes/Second",
    GigabytesPerSecond = "Gigabytes/Second",
    TerabytesPerSecond = "Terabytes/Second",
    BitsPerSecond = "Bits/Second",
    KilobitsPerSecond = "Kilobits/Second",
    MegabitsPerSecond = "Megabits/Second",
    GigabitsPerSecond = "Gigabits/Second",
    TerabitsPerSecond = "Terabits/Second",
    CountPerSecond = "Count/Second",
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_have_no_order() {
        let one = MetricId::new("N", "m", [("b", "2"), ("a", "1")]);
        assert_eq!(one, MetricId::new("N", "m", [("a", "1"), ("b", "2")]));
        assert_eq!(one.to_string(), "N m a=1 b=2");
    }

    #[test]
    fn units_are_read_back() {
        for unit in [Unit::Percent, Unit::CountPerSecond, Unit::None, Unit::TerabytesPerSecond] {
            assert_eq!(Unit::parse(unit.as_str()), Some(unit));
        }
        assert_eq!(Unit::parse("percent"), None);
    }
}
