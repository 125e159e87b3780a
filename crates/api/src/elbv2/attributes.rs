//! Attributes, read and shown: each key of AWS's is either honoured, or can only have the value that
//! it has.

use std::time::Duration;

use aws::Error;

use super::errors::{configuration, invalid};

/// What keys and values are about, for sentences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// `Load balancer`, `Target group` or `Listener`.
    pub(super) of: &'static str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl Given<'_> {
    fn refuse(&self, must: &str) -> Error {
        configuration(format!(
            "{} attribute '{}' is '{}'; it must be {must}",
            self.of, self.key, self.value
        ))
    }

    pub(super) fn flag(&self) -> Result<bool, Error> {
        match self.value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.refuse("true or false")),
        }
    }

    pub(super) fn seconds(&self, least: u64, most: u64) -> Result<Duration, Error> {
        let seconds = self.value.parse::<u64>().ok().filter(|s| (least..=most).contains(s));
        seconds
            .map(Duration::from_secs)
            .ok_or_else(|| self.refuse(&format!("between {least} and {most}")))
    }

    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Error> {
        let found = words.iter().find(|(word, _)| *word == self.value);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(&format!("one of {}", known.join(", ")))
        })
    }

    /// Takes a key of `fixed` with the value that it has. Others are refused: by name, if there is
    /// such a key, and otherwise as unknown.
    pub(super) fn only(&self, fixed: &[(&str, &str)]) -> Result<(), Error> {
        match fixed.iter().find(|(key, _)| *key == self.key) {
            Some((_, usual)) if *usual == self.value => Ok(()),
            Some((key, usual)) => Err(configuration(format!(
                "{} attribute '{key}' is '{}'; in Wharf it is not built beyond '{usual}', and nothing \
                 was done",
                self.of, self.value
            ))),
            None => {
                Err(invalid(format!("{} attribute key '{}' is not recognized", self.of, self.key)))
            }
        }
    }
}

/// Reads pairs of keys and values one after the other. A key twice is refused.
pub(super) fn read<'a, A, T>(
    of: &'static str,
    attributes: Option<&'a Vec<A>>,
    parts: impl Fn(&'a A) -> (Option<&'a String>, Option<&'a String>),
    one: impl Fn(Given<'a>) -> Result<Option<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut seen: Vec<&str> = Vec::new();
    let mut read = Vec::new();
    for attribute in attributes.into_iter().flatten() {
        let (key, value) = parts(attribute);
        let key = key.map(String::as_str).unwrap_or_default();
        if seen.contains(&key) {
            return Err(invalid(format!("{of} attribute key '{key}' is given more than once")));
        }
        seen.push(key);
        let value = value.map(String::as_str).unwrap_or_default();
        read.extend(one(Given { of, key, value })?);
    }
    Ok(read)
}

/// Seconds as values have them.
pub(super) fn seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &[(&str, &str)] = &[("waf.fail_open.enabled", "false")];

    fn given<'a>(key: &'a str, value: &'a str) -> Given<'a> {
        Given { of: "Load balancer", key, value }
    }

    #[test]
    fn values_are_read_and_refused() {
        assert_eq!(given("k", "true").flag(), Ok(true));
        assert!(given("k", "yes").flag().is_err());
        assert_eq!(given("k", "60").seconds(1, 60), Ok(Duration::from_secs(60)));
        for value in ["0", "61", "-1", "1.5", ""] {
            assert!(given("k", value).seconds(1, 60).is_err(), "{value}");
        }
        assert_eq!(given("k", "b").word(&[("a", 1), ("b", 2)]), Ok(2));
        assert!(given("k", "c").word(&[("a", 1), ("b", 2)]).is_err());
    }

    #[test]
    fn what_is_not_built_can_only_be_what_it_is() {
        assert_eq!(given("waf.fail_open.enabled", "false").only(FIXED), Ok(()));
        let error = given("waf.fail_open.enabled", "true").only(FIXED).unwrap_err();
        assert_eq!(error.code, "InvalidConfigurationRequest");
        assert!(error.message.contains("waf.fail_open.enabled"), "{error}");
        assert_eq!(given("moon.phase", "full").only(FIXED).unwrap_err().code, "ValidationError");
    }
}
