//! Whether two requests are the same: a number that equal requests share, to be stored with a client
//! token. So it must not change from one build to the next.

use aws::Error;
use serde::Serialize;

use crate::errors::server;

/// FNV-1a, 64 bits (draft-eastlake-fnv): its offset basis and its prime.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The fingerprint of a request: FNV-1a over its JSON, whose members have the shape's order.
pub(crate) fn of(request: &impl Serialize) -> Result<u64, Error> {
    let bytes = serde_json::to_vec(request)
        .map_err(|error| server(format!("The request has no JSON form: {error}.")))?;
    Ok(bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv_1a() {
        // The published value for "foobar", here with the quotation marks of its JSON around it.
        let plain = b"foobar".iter().fold(BASIS, |h, b| (h ^ u64::from(*b)).wrapping_mul(PRIME));
        assert_eq!(plain, 0x8594_4171_f739_67e8);
        assert_eq!(of(&"foobar").unwrap(), of(&"foobar").unwrap());
        assert_ne!(of(&"foobar").unwrap(), of(&"foobaz").unwrap());
    }
}
