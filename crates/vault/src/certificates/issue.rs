//! Making self-signed certificates.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber, date_time_ymd,
};
use stdx::{Entropy, Timestamp};
use zeroize::Zeroize;

use super::{KeyKind, RequestCertificate, invalid};
use crate::{SecretValue, VaultError};

/// ACM's certificates are valid for 13 months.
const DAYS: u64 = 395;

/// A certificate in PEM that signs itself, and its key in PEM.
pub(super) fn self_signed(
    wanted: &RequestCertificate,
    now: Timestamp,
    chance: &mut dyn Entropy,
) -> Result<(String, SecretValue), VaultError> {
    let failed =
        |error: rcgen::Error| invalid(format!("The certificate could not be made: {error}."));
    let mut params = CertificateParams::new(wanted.names.clone()).map_err(failed)?;
    let mut name = DistinguishedName::new();
    if let Some(domain) = wanted.names.first() {
        name.push(DnType::CommonName, domain.as_str());
    }
    params.distinguished_name = name;
    params.not_before = day(now)?;
    params.not_after = day(now + std::time::Duration::from_secs(DAYS * 86_400))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Half of the numbers would be negative without the shift, which takes an octet more.
    let serial: Vec<u8> = [chance.next_u64() >> 1, chance.next_u64()]
        .iter()
        .flat_map(|half| half.to_be_bytes())
        .collect();
    params.serial_number = Some(SerialNumber::from(serial));
    let algorithm = match wanted.key {
        KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
    };
    let key = KeyPair::generate_for(algorithm).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let mut text = key.serialize_pem();
    let sealed = SecretValue::text(text.clone());
    text.zeroize();
    Ok((certificate.pem().replace("\r\n", "\n"), sealed))
}

/// The day of an instant, as rcgen has it.
fn day(at: Timestamp) -> Result<time::OffsetDateTime, VaultError> {
    let text = at.rfc3339();
    let mut parts = text.get(..10).unwrap_or_default().split('-');
    let mut part = || parts.next().and_then(|part| part.parse::<i32>().ok());
    let (year, month, day) = (part(), part(), part());
    match (year, month.and_then(|m| u8::try_from(m).ok()), day.and_then(|d| u8::try_from(d).ok())) {
        (Some(year), Some(month), Some(day)) => Ok(date_time_ymd(year, month, day)),
        _ => Err(invalid(format!("The machine's clock tells {text}, which no certificate can."))),
    }
}
