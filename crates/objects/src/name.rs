//! Names of buckets and keys.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>

use crate::{Code, ObjectsError};

/// The longest key, in bytes.
const LONGEST_KEY: usize = 1024;

/// Whether a bucket may be called so.
pub(crate) fn check_bucket(name: &str) -> Result<(), ObjectsError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = |byte: u8| inner(byte) || byte == b'.' || byte == b'-';
    let bytes = name.as_bytes();
    let ends =
        bytes.first().copied().is_some_and(inner) && bytes.last().copied().is_some_and(inner);
    let address = name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let well = (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(good)
        && ends
        && !name.contains("..")
        && !address;
    if well {
        return Ok(());
    }
    Err(ObjectsError::refused(Code::InvalidBucketName, "The specified bucket is not valid."))
}

/// Whether an object may be called so.
pub(crate) fn check_key(key: &str) -> Result<(), ObjectsError> {
    match key.len() {
        0 => Err(ObjectsError::refused(Code::InvalidArgument, "A key has at least one character.")),
        1..=LONGEST_KEY => Ok(()),
        _ => Err(ObjectsError::refused(Code::KeyTooLongError, "Your key is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_keys_are_named_as_s3_allows() {
        for name in ["abc", "my-bucket.logs", "0-0", &"a".repeat(63)] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        for name in ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "../x", &"a".repeat(64)]
        {
            assert!(check_bucket(name).is_err(), "{name}");
        }
        assert!(check_key("../../etc/passwd").is_ok(), "a key is a name, not a path");
        assert!(check_key("").is_err() && check_key(&"k".repeat(1025)).is_err());
    }
}
