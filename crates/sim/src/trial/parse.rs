//! How an operator writes down services and changes.

use std::time::Duration;

use model::{PlacementStrategy, SpreadField};

use super::{Change, Wanted};
use crate::fleet::Family;

/// What cannot be read, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

fn error<T>(text: String) -> Result<T, ParseError> {
    Err(ParseError(text))
}

fn number(what: &str, text: &str) -> Result<u32, ParseError> {
    text.parse().or_else(|_| error(format!("{what}: {text:?} is not a whole number")))
}

const OPTIONS: &str = "image=NAME, port=N, host-port=N, checked, min=PERCENT, max=PERCENT, breaker, \
                       distinct, binpack-cpu, binpack-memory, spread-instance, random";

impl std::str::FromStr for Wanted {
    type Err = ParseError;

    /// Reads `NAME:COUNT:CPU:MEMORY[:OPTION,…]`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts: Vec<&str> = text.splitn(5, ':').collect();
        let [name, count, cpu, memory, ..] = parts[..] else {
            return error(format!(
                "{text:?} is not NAME:COUNT:CPU:MEMORY[:OPTION,…], such as web:200:256:512"
            ));
        };
        let cpu = number("CPU units", cpu)?;
        let mut wanted = Self {
            name: name.to_owned(),
            count: number("count", count)?,
            family: Family::new(name, "good", cpu, number("MiB", memory)?),
            percents: (None, None),
            breaker: false,
            strategy: Vec::new(),
        };
        let options = parts.get(4).copied().unwrap_or_default();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            wanted.option(option)?;
        }
        Ok(wanted)
    }
}

impl Wanted {
    fn option(&mut self, option: &str) -> Result<(), ParseError> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => error(format!("{name}: {text:?} is not a port")),
        };
        let spread = |field| PlacementStrategy::Spread(field);
        match name {
            "image" => self.family.image = value.to_owned(),
            "port" => self.family.port = Some((port(value)?, None)),
            "host-port" => self.family.port = Some((80, Some(port(value)?))),
            "checked" => self.family.checked = true,
            "min" => self.percents.1 = Some(number(name, value)?),
            "max" => self.percents.0 = Some(number(name, value)?),
            "breaker" => self.breaker = true,
            "distinct" => self.family.distinct = true,
            "binpack-cpu" => self.strategy.push(PlacementStrategy::BinpackCpu),
            "binpack-memory" => self.strategy.push(PlacementStrategy::BinpackMemory),
            "spread-instance" => self.strategy.push(spread(SpreadField::Instance)),
            "random" => self.strategy.push(PlacementStrategy::Random),
            _ => return error(format!("there is no option {option:?}; there are {OPTIONS}")),
        }
        Ok(())
    }
}

/// `a`, `b` and so on, also as the attribute has it: `zone-a`.
fn zone(text: &str) -> Result<u32, ParseError> {
    match text.strip_prefix("zone-").unwrap_or(text).as_bytes() {
        [letter @ b'a'..=b'z'] => Ok(u32::from(letter - b'a')),
        _ => error(format!("{text:?} is not a zone: they are a, b, c and so on")),
    }
}

const CHANGES: &str = "update NAME [image=IMAGE], scale NAME COUNT, delete NAME, lose COUNT, lose zone LETTER, drain COUNT, drain zone LETTER, \
                       add COUNT, crash, wait SECONDS";

impl std::str::FromStr for Change {
    type Err = ParseError;

    /// Reads one change.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let count = |text: &str| Ok(number("count", text)? as usize);
        Ok(match words[..] {
            ["update", service] => {
                Self::Update { service: service.to_owned(), image: "good".to_owned() }
            }
            ["update", service, image] => match image.strip_prefix("image=") {
                Some(image) => {
                    Self::Update { service: service.to_owned(), image: image.to_owned() }
                }
                None => return error(format!("{image:?}: what is updated is image=IMAGE")),
            },
            ["scale", service, count] => {
                Self::Scale { service: service.to_owned(), count: number("count", count)? }
            }
            ["delete", service] => Self::Delete { service: service.to_owned() },
            ["lose", "zone", name] => Self::LoseZone { zone: zone(name)? },
            ["drain", "zone", name] => Self::DrainZone { zone: zone(name)? },
            ["lose", n] => Self::Lose { count: count(n)? },
            ["drain", n] => Self::Drain { count: count(n)? },
            ["add", n] => Self::Add { count: count(n)? },
            ["crash"] => Self::Crash,
            ["wait", n] => Self::Wait { time: Duration::from_secs(number("seconds", n)?.into()) },
            _ => return error(format!("there is no change {text:?}; there are {CHANGES}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_changes_are_read() {
        let web: Wanted = "web:200:256:512:image=slow-3000,min=50,max=150,breaker,binpack-cpu"
            .parse()
            .expect("it is right");
        assert_eq!((web.count, web.family.cpu, web.family.memory), (200, 256, 512));
        assert_eq!(web.family.image, "slow-3000");
        assert_eq!((web.percents, web.breaker), ((Some(150), Some(50)), true));
        assert_eq!(web.strategy, [PlacementStrategy::BinpackCpu]);
        let update: Change = "update web image=missing".parse().expect("it is right");
        assert_eq!(update, Change::Update { service: "web".into(), image: "missing".into() });
        assert_eq!("lose 3".parse(), Ok(Change::Lose { count: 3 }));
        assert_eq!("lose zone b".parse(), Ok(Change::LoseZone { zone: 1 }));
        assert_eq!("drain zone zone-c".parse(), Ok(Change::DrainZone { zone: 2 }));
    }

    #[test]
    fn what_cannot_be_read_says_what_was_expected() {
        for (text, expected) in [
            ("web", "NAME:COUNT:CPU:MEMORY"),
            ("web:x:1:1", "\"x\" is not a whole number"),
            ("web:1:1:1:bogus", "there are image=NAME"),
            ("web:1:1:1:port=0", "is not a port"),
        ] {
            let refusal = text.parse::<Wanted>().expect_err(text).to_string();
            assert!(refusal.contains(expected), "{refusal}");
        }
        for (text, expected) in [
            ("explode", "there are update NAME"),
            ("update web now", "image=IMAGE"),
            ("lose some", "not a whole number"),
            ("lose zone 1", "is not a zone"),
        ] {
            let refusal = text.parse::<Change>().expect_err(text).to_string();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
