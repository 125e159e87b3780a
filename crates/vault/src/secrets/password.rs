//! `GetRandomPassword`.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html>

use stdx::Entropy;

use super::invalid;
use crate::{SecretValue, VaultError};

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// The longest password.
const LONGEST: i64 = 4096;

/// What a password is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// 1 to 4096 characters.
    pub length: i64,
    /// Characters that must not be in it.
    pub exclude: String,
    /// With `a` to `z`.
    pub lowercase: bool,
    /// With `A` to `Z`.
    pub uppercase: bool,
    /// With `0` to `9`.
    pub numbers: bool,
    /// With the punctuation of ASCII.
    pub punctuation: bool,
    /// With a space.
    pub space: bool,
    /// With at least one of each of these sets.
    pub each: bool,
}

impl Default for PasswordPolicy {
    /// 32 characters, at least one of each set, no space.
    fn default() -> Self {
        Self {
            length: 32,
            exclude: String::new(),
            lowercase: true,
            uppercase: true,
            numbers: true,
            punctuation: true,
            space: false,
            each: true,
        }
    }
}

/// A password of that kind. Each character is drawn anew, and one of each set is drawn first and put
/// at a random place.
///
/// # Errors
/// The length is not 1 to 4096, nothing is left to choose from, or it is too short for one of each.
pub fn random_password(
    policy: &PasswordPolicy,
    chance: &mut dyn Entropy,
) -> Result<SecretValue, VaultError> {
    let length = usize::try_from(policy.length).ok();
    let length = length.filter(|_| (1..=LONGEST).contains(&policy.length)).ok_or_else(|| {
        invalid(format!("PasswordLength is {}; it must be between 1 and {LONGEST}.", policy.length))
    })?;
    let sets: Vec<Vec<char>> = [
        (policy.lowercase, LOWER),
        (policy.uppercase, UPPER),
        (policy.numbers, DIGITS),
        (policy.punctuation, PUNCTUATION),
        (policy.space, " "),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .map(|(_, set)| set.chars().filter(|c| !policy.exclude.contains(*c)).collect())
    .filter(|set: &Vec<char>| !set.is_empty())
    .collect();
    let all = sets.concat();
    if all.is_empty() {
        return Err(invalid(
            "Every character is excluded, so there is none to make a password of.",
        ));
    }
    if policy.each && sets.len() > length {
        return Err(invalid(format!(
            "A password of {length} characters is too short to have one of each of {} kinds.",
            sets.len()
        )));
    }
    let mut password: Vec<char> = Vec::with_capacity(length);
    if policy.each {
        password.extend(sets.iter().map(|set| pick(set, chance)));
    }
    while password.len() < length {
        password.push(pick(&all, chance));
    }
    // Fisher and Yates.
    for at in (1..password.len()).rev() {
        password.swap(at, index(at + 1, chance));
    }
    Ok(SecretValue::text(password.into_iter().collect()))
}

fn pick(set: &[char], chance: &mut dyn Entropy) -> char {
    set[index(set.len(), chance)]
}

fn index(below: usize, chance: &mut dyn Entropy) -> usize {
    usize::try_from(chance.below(below as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use stdx::SeededEntropy;

    use super::*;

    fn password(policy: &PasswordPolicy) -> String {
        let value = random_password(policy, &mut SeededEntropy::new(7)).unwrap();
        value.reveal_text().unwrap().to_owned()
    }

    #[test]
    fn it_has_what_is_asked_for_and_nothing_else() {
        for length in [4, 5, 32, 4096] {
            let made = password(&PasswordPolicy { length, ..PasswordPolicy::default() });
            assert_eq!(made.chars().count(), usize::try_from(length).unwrap());
            for set in [LOWER, UPPER, DIGITS, PUNCTUATION] {
                assert!(made.chars().any(|c| set.contains(c)), "{made} has none of {set}");
            }
            assert!(!made.contains(' '));
        }
        let digits = PasswordPolicy {
            length: 64,
            exclude: "0123".to_owned(),
            lowercase: false,
            uppercase: false,
            punctuation: false,
            ..PasswordPolicy::default()
        };
        assert!(password(&digits).chars().all(|c| "456789".contains(c)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |policy: PasswordPolicy| {
            random_password(&policy, &mut SeededEntropy::new(1)).unwrap_err().to_string()
        };
        let usual = PasswordPolicy::default;
        assert!(refused(PasswordPolicy { length: 0, ..usual() }).contains("between 1 and 4096"));
        assert!(refused(PasswordPolicy { length: 3, ..usual() }).contains("too short"));
        let none = PasswordPolicy {
            numbers: false,
            lowercase: false,
            punctuation: false,
            exclude: UPPER.to_owned(),
            ..usual()
        };
        assert!(refused(none).contains("none to make"));
    }
}
