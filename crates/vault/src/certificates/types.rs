//! What a certificate is, asked for and told.

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{SecretValue, Tags};

/// `ImportCertificate`.
#[derive(Clone, Debug)]
pub struct ImportCertificate {
    /// The one whose place it takes, if any.
    pub arn: Option<String>,
    /// The certificate in PEM.
    pub certificate: Vec<u8>,
    /// Those that signed it in PEM, each after the one that it signed; without the root, or with it.
    pub chain: Option<Vec<u8>>,
    /// Its key in PEM, not encrypted.
    pub private_key: SecretValue,
    /// Its tags.
    pub tags: Tags,
}

/// `RequestCertificate`.
#[derive(Clone, Debug)]
pub struct RequestCertificate {
    /// The names: the domain first.
    pub names: Vec<String>,
    /// What its key is.
    pub key: KeyKind,
    /// Makes a repetition harmless.
    pub token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// What the key of a certificate is made of on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateOrigin {
    /// Its owner brought it.
    Imported,
    /// It was made here, and nobody but itself signs it.
    SelfSigned,
}

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) names: Vec<String>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) key_algorithm: String,
    pub(crate) signature_algorithm: String,
}

/// A certificate, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CertificateRecord {
    pub(crate) arn: String,
    pub(crate) origin: CertificateOrigin,
    pub(crate) facts: Facts,
    pub(crate) certificate: String,
    pub(crate) chain: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) issued: Timestamp,
    pub(crate) tags: Tags,
}

/// A certificate, as it is told: everything but its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its ARN.
    pub arn: String,
    /// Where it comes from.
    pub origin: CertificateOrigin,
    /// The names that it is for, the first its domain.
    pub names: Vec<String>,
    /// Whose it is, in RFC 4514's words.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its serial number: pairs of hexadecimal digits.
    pub serial: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Such as `RSA_2048` or `EC_prime256v1`.
    pub key_algorithm: String,
    /// Such as `SHA256WITHRSA`.
    pub signature_algorithm: String,
    /// The certificate in PEM.
    pub certificate: String,
    /// Those that signed it in PEM.
    pub chain: Option<String>,
    /// When it was first imported or requested.
    pub created: Timestamp,
    /// When this version of it was.
    pub issued: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl CertificateRecord {
    pub(crate) fn summary(&self) -> Certificate {
        let facts = self.facts.clone();
        Certificate {
            arn: self.arn.clone(),
            origin: self.origin,
            names: facts.names,
            subject: facts.subject,
            issuer: facts.issuer,
            serial: facts.serial,
            not_before: facts.not_before,
            not_after: facts.not_after,
            key_algorithm: facts.key_algorithm,
            signature_algorithm: facts.signature_algorithm,
            certificate: self.certificate.clone(),
            chain: self.chain.clone(),
            created: self.created,
            issued: self.issued,
            tags: self.tags.clone(),
        }
    }
}
