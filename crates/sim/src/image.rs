//! What pretended containers do, told by their image's name: `good`, `exit-700-1`, `slow-3000`, …

use std::time::Duration;

/// What a container of an image does. Numbers in names are milliseconds; an exit has its code last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// `good…`: runs until it is stopped; its health checks succeed.
    Good,
    /// `exit-MILLIS-CODE`: ends by itself.
    Exits(Duration, i32),
    /// `missing…`: cannot be pulled.
    Missing,
    /// `sick-MILLIS`: its health checks fail after so long.
    Sick(Duration),
    /// `slow-MILLIS`: starts only after so long.
    Slow(Duration),
    /// `mute-MILLIS`: runs, and its targets fail after so long.
    Mute(Duration),
}

impl Image {
    /// Reads an image's name; one that says nothing is good.
    pub fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name.split(':').next().unwrap_or(name);
        let mut words = name.split('-');
        let kind = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let first = number().map(Duration::from_millis);
        let second = number().and_then(|code| i32::try_from(code).ok());
        match (kind, first) {
            ("exit", Some(after)) => Self::Exits(after, second.unwrap_or(1)),
            ("missing", _) => Self::Missing,
            ("sick", Some(after)) => Self::Sick(after),
            ("slow", Some(after)) => Self::Slow(after),
            ("mute", Some(after)) => Self::Mute(after),
            _ => Self::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_containers_do() {
        let millis = Duration::from_millis;
        for (name, image) in [
            ("good", Image::Good),
            ("nginx:latest", Image::Good),
            ("registry:5000/exit-700-3:v1", Image::Exits(millis(700), 3)),
            ("exit-5", Image::Exits(millis(5), 1)),
            ("missing-3", Image::Missing),
            ("sick-40", Image::Sick(millis(40))),
            ("slow-2000", Image::Slow(millis(2000))),
            ("mute-5000", Image::Mute(millis(5000))),
            ("slow", Image::Good),
        ] {
            assert_eq!(Image::of(name), image, "{name}");
        }
    }
}
