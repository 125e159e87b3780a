//! Reading certificates and keys, and holding one against the other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stdx::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::types::Facts;
use super::{ImportCertificate, invalid};
use crate::VaultError;

/// What a request to import has come to.
pub(super) struct Read {
    pub(super) facts: Facts,
    pub(super) certificate: String,
    pub(super) chain: Option<String>,
}

/// Reads what is to be imported.
pub(super) fn pair(wanted: &ImportCertificate, now: Timestamp) -> Result<Read, VaultError> {
    let leaf = certificates(&wanted.certificate, "The certificate")?;
    let [leaf] = leaf.as_slice() else {
        return Err(invalid(format!(
            "The certificate field contains {} certificates. You must specify only one; the others belong \
             into the chain.",
            leaf.len()
        )));
    };
    let parsed = parse(leaf, "The certificate")?;
    check_key(&parsed, wanted.private_key.reveal_bytes())?;
    let facts = facts_of(&parsed)?;
    if now > facts.not_after {
        return Err(invalid(format!(
            "The certificate has expired: it was valid until {}.",
            facts.not_after.rfc3339()
        )));
    }
    if now < facts.not_before {
        return Err(invalid(format!(
            "The certificate is not valid yet: it will be from {} on.",
            facts.not_before.rfc3339()
        )));
    }
    let chain = wanted.chain.as_deref().filter(|chain| !chain.is_empty());
    let chain = chain.map(|chain| certificates(chain, "The certificate chain")).transpose()?;
    if let Some(chain) = &chain {
        check_chain(&parsed, chain)?;
    }
    Ok(Read {
        facts,
        certificate: pem(leaf),
        chain: chain.map(|chain| chain.iter().map(|each| pem(each)).collect()),
    })
}

/// The facts of a certificate in PEM.
pub(super) fn facts(certificate: &str) -> Result<Facts, VaultError> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|_| invalid("The certificate is not valid PEM."))?;
    facts_of(&parse(&der, "The certificate")?)
}

fn certificates(text: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, VaultError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| invalid(format!("{what} is not valid PEM: {error}.")))?;
    if all.is_empty() {
        return Err(invalid(format!("{what} is not in PEM format: it holds no certificate.")));
    }
    Ok(all)
}

fn parse<'a>(der: &'a [u8], what: &str) -> Result<X509Certificate<'a>, VaultError> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(invalid(format!("{what} is not a valid X.509 certificate."))),
    }
}

/// Whether the key is the certificate's.
fn check_key(certificate: &X509Certificate<'_>, key: &[u8]) -> Result<(), VaultError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        invalid("The private key is not valid: it must be in PEM format and without a password.")
    })?;
    let key = any_supported_type(&key).map_err(|_| {
        invalid(
            "The private key is not supported: it must be RSA of 2048 to 4096 bits, or of the curve P-256 or \
             P-384.",
        )
    })?;
    let matches =
        key.public_key().is_some_and(|public| public.as_ref() == certificate.public_key().raw);
    if matches {
        return Ok(());
    }
    Err(invalid(
        "The certificate and the private key do not match: the key is another certificate's.",
    ))
}

/// Whether each certificate of a chain signed the one before it.
fn check_chain(
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'static>],
) -> Result<(), VaultError> {
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|each| parse(each, "A certificate of the chain"))
        .collect::<Result<_, _>>()?;
    let mut below = leaf;
    for (at, above) in parsed.iter().enumerate() {
        let signed = below.issuer() == above.subject()
            && below.verify_signature(Some(above.public_key())).is_ok();
        if !signed {
            return Err(invalid(format!(
                "The certificate chain is not in order: its certificate {} ({}) did not sign the one before it \
                 ({}). Each must be followed by the one that signed it.",
                at + 1,
                above.subject(),
                below.subject()
            )));
        }
        below = above;
    }
    Ok(())
}

fn facts_of(certificate: &X509Certificate<'_>) -> Result<Facts, VaultError> {
    let mut names = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let common = certificate.subject().iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok()).map(str::to_owned);
    if let Some(common) = common {
        // The domain is the common name, and stands first.
        names.retain(|name| *name != common);
        names.insert(0, common);
    }
    let instant = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let validity = certificate.validity();
    Ok(Facts {
        names,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: certificate.raw_serial_as_string(),
        not_before: instant(validity.not_before.timestamp()),
        not_after: instant(validity.not_after.timestamp()),
        key_algorithm: key_algorithm(certificate)?,
        signature_algorithm: signature_algorithm(certificate),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}

/// AWS's word for a key.
fn key_algorithm(certificate: &X509Certificate<'_>) -> Result<String, VaultError> {
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => Ok(format!("RSA_{}", rsa.key_size())),
        Ok(PublicKey::EC(point)) => Ok(match point.key_size() {
            256 => "EC_prime256v1".to_owned(),
            384 => "EC_secp384r1".to_owned(),
            521 | 528 => "EC_secp521r1".to_owned(),
            other => format!("EC_{other}"),
        }),
        _ => Err(invalid(
            "The certificate's public key is not supported: it must be RSA, or of the curve P-256 or P-384.",
        )),
    }
}

/// AWS's word for a signature; what has none is told by its number.
fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    match oid.as_str() {
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA".to_owned(),
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA".to_owned(),
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA".to_owned(),
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA".to_owned(),
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA".to_owned(),
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA".to_owned(),
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA".to_owned(),
        _ => oid,
    }
}

/// PEM as ACM writes it: lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
