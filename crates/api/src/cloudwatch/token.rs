//! Tokens of CloudWatch's pages: opaque, and of one operation only.

use aws::Error;
use aws::cloudwatch::ErrorKind;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A token of `operation` for what begins at `place`.
pub(super) fn write(operation: &str, place: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(&(operation, place)).ok()?;
    Some(URL_SAFE_NO_PAD.encode(json))
}

/// The place of a token; none if none was given.
pub(super) fn read<T: DeserializeOwned>(
    operation: &str,
    token: Option<&str>,
) -> Result<Option<T>, Error> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let place = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (of, place): (String, T) = serde_json::from_slice(&bytes).ok()?;
        (of == operation).then_some(place)
    };
    // The one operation with pages whose model does not have the other error.
    let kind = match operation {
        "ListMetrics" => ErrorKind::InvalidParameterValueException,
        _ => ErrorKind::InvalidNextToken,
    };
    let bad = || kind.with("The specified nextToken is invalid.");
    place().map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_operation() {
        let token = write("ListMetrics", &(1, "a")).unwrap();
        let place: Option<(i32, String)> = read("ListMetrics", Some(&token)).unwrap();
        assert_eq!(place, Some((1, "a".to_owned())));
        assert_eq!(read::<i32>("ListMetrics", None).unwrap(), None);
        let listed = read::<(i32, String)>("ListMetrics", Some("x")).unwrap_err();
        assert_eq!(listed.code, "InvalidParameterValue");
        for bad in ["x", "!", &token] {
            let refused = read::<(i32, String)>("DescribeAlarms", Some(bad)).unwrap_err();
            assert_eq!(refused.code, "InvalidNextToken");
        }
    }
}
