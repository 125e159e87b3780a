//! Certificates of Certificate Manager: imported ones, and self-signed ones on request. Private keys
//! are sealed like secrets; certificates are public and are kept in clear.
//! <https://docs.aws.amazon.com/acm/latest/userguide/import-certificate.html>

mod issue;
mod read;
mod types;

use std::collections::BTreeSet;

use stdx::Entropy;

pub(crate) use types::CertificateRecord;
pub use types::{Certificate, CertificateOrigin, ImportCertificate, KeyKind, RequestCertificate};

use crate::tables::{Snapshot, Tables};
use crate::value::Form;
use crate::{SecretValue, Service, Tags, Vault, VaultError, tags};

/// The most certificates, AWS's quota.
const MOST: usize = 2_500;

fn invalid(message: impl Into<String>) -> VaultError {
    VaultError::refused("ValidationException", message)
}

fn missing(arn: &str) -> VaultError {
    VaultError::refused("ResourceNotFoundException", format!("Could not find certificate {arn}."))
}

/// What a private key is sealed for.
fn owner(arn: &str) -> String {
    format!("certificate|{arn}")
}

fn find(tables: &Tables<'_>, arn: &str) -> Result<CertificateRecord, VaultError> {
    tables.certificate(arn)?.ok_or_else(|| missing(arn))
}

fn seen(snapshot: &Snapshot, arn: &str) -> Result<CertificateRecord, VaultError> {
    snapshot.certificate(arn)?.ok_or_else(|| missing(arn))
}

impl Vault {
    /// `ImportCertificate`: a new one, or a newer one in the place of `wanted.arn`. Answers the ARN.
    ///
    /// # Errors
    /// Certificate, chain or key is not PEM or is damaged, the key is another's, the certificate is
    /// not valid now, the chain is not in order, or there is no certificate of that ARN.
    pub async fn import_certificate(
        &self,
        wanted: ImportCertificate,
    ) -> Result<String, VaultError> {
        tags::check(Service::CertificateManager, &wanted.tags)?;
        self.write(move |tables, desk| {
            let read = read::pair(&wanted, desk.now)?;
            let before = wanted.arn.as_deref().map(|arn| find(tables, arn)).transpose()?;
            if before.is_some() && !wanted.tags.is_empty() {
                return Err(invalid(
                    "Tags cannot be given when a certificate is imported again; use \
                     AddTagsToCertificate.",
                ));
            }
            if before.as_ref().is_some_and(|b| b.origin == CertificateOrigin::SelfSigned) {
                return Err(invalid(
                    "Only a certificate that was imported can be imported again; import this one as a new \
                     one.",
                ));
            }
            if before.is_none() && tables.certificates()? >= MOST {
                return Err(too_many());
            }
            let record = CertificateRecord {
                arn: match &before {
                    Some(before) => before.arn.clone(),
                    None => desk.realm.certificate(&desk.chance().uuid()),
                },
                origin: CertificateOrigin::Imported,
                facts: read.facts,
                certificate: read.certificate,
                chain: read.chain,
                created: before.as_ref().map_or(desk.now, |before| before.created),
                issued: desk.now,
                tags: before.map_or(wanted.tags, |before| before.tags),
            };
            // PEM is text, however it came.
            let key = wanted.private_key.reveal_bytes().to_vec();
            let key = SecretValue::restore(Form::Text, key)
                .ok_or_else(|| invalid("The private key is not valid PEM."))?;
            let sealed = desk.sealer.seal(&owner(&record.arn), &key)?;
            tables.put_certificate(&record, Some(&sealed))?;
            Ok(record.arn)
        })
        .await
    }

    /// `RequestCertificate`: a self-signed one for these names, issued at once and valid for 13 months.
    ///
    /// # Errors
    /// A name is not one that a certificate can have, or there are too many.
    pub async fn request_certificate(
        &self,
        wanted: RequestCertificate,
    ) -> Result<String, VaultError> {
        tags::check(Service::CertificateManager, &wanted.tags)?;
        self.write(move |tables, desk| {
            if let Some(token) = &wanted.token {
                let again = tables.certificate_by_token(token)?;
                let names: BTreeSet<&String> = wanted.names.iter().collect();
                let same = |it: &CertificateRecord| {
                    it.facts.names.iter().collect::<BTreeSet<_>>() == names
                };
                if let Some(again) = again.filter(same) {
                    return Ok(again.arn);
                }
            }
            if tables.certificates()? >= MOST {
                return Err(too_many());
            }
            let (certificate, key) = issue::self_signed(&wanted, desk.now, &mut desk.chance())?;
            let facts = read::facts(&certificate)?;
            let record = CertificateRecord {
                arn: desk.realm.certificate(&desk.chance().uuid()),
                origin: CertificateOrigin::SelfSigned,
                facts,
                certificate,
                chain: None,
                created: desk.now,
                issued: desk.now,
                tags: wanted.tags,
            };
            let sealed = desk.sealer.seal(&owner(&record.arn), &key)?;
            tables.put_certificate(&record, Some(&sealed))?;
            if let Some(token) = &wanted.token {
                tables.put_certificate_token(token, &record.arn)?;
            }
            Ok(record.arn)
        })
        .await
    }

    /// `DescribeCertificate` and `GetCertificate`.
    ///
    /// # Errors
    /// There is no such certificate.
    pub async fn describe_certificate(&self, arn: &str) -> Result<Certificate, VaultError> {
        let arn = arn.to_owned();
        self.read(move |snapshot, _| Ok(seen(snapshot, &arn)?.summary())).await
    }

    /// Every certificate, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, VaultError> {
        self.read(|snapshot, _| {
            let mut all = snapshot.certificates()?;
            all.sort_by(|a, b| (a.created, &a.arn).cmp(&(b.created, &b.arn)));
            Ok(all.iter().map(CertificateRecord::summary).collect())
        })
        .await
    }

    /// What a listener needs to end TLS: the chain in PEM, the certificate first, and its key in PEM.
    ///
    /// # Errors
    /// There is no such certificate, or its key does not open.
    pub async fn certificate_pair(&self, arn: &str) -> Result<(String, SecretValue), VaultError> {
        let arn = arn.to_owned();
        self.read(move |snapshot, desk| {
            let record = seen(snapshot, &arn)?;
            let sealed = snapshot.certificate_key(&arn)?.ok_or_else(|| missing(&arn))?;
            let key = desk.sealer.open(&owner(&arn), &sealed)?;
            let chain = record.chain.as_deref().unwrap_or_default();
            Ok((format!("{}{chain}", record.certificate), key))
        })
        .await
    }

    /// `DeleteCertificate`. Whether it is in use is for the caller to know.
    ///
    /// # Errors
    /// There is no such certificate.
    pub async fn delete_certificate(&self, arn: &str) -> Result<(), VaultError> {
        let arn = arn.to_owned();
        self.write(move |tables, _| {
            find(tables, &arn)?;
            tables.remove_certificate(&arn)
        })
        .await
    }

    /// `AddTagsToCertificate`: these win over those of the same key.
    ///
    /// # Errors
    /// There is no such certificate, or its tags would not be valid.
    pub async fn tag_certificate(&self, arn: &str, more: Tags) -> Result<(), VaultError> {
        let arn = arn.to_owned();
        self.write(move |tables, _| {
            let mut record = find(tables, &arn)?;
            record.tags.extend(more);
            tags::check(Service::CertificateManager, &record.tags)?;
            tables.put_certificate(&record, None)
        })
        .await
    }

    /// `RemoveTagsFromCertificate`: by key, or by key and value.
    ///
    /// # Errors
    /// There is no such certificate.
    pub async fn untag_certificate(
        &self,
        arn: &str,
        unwanted: Vec<(String, Option<String>)>,
    ) -> Result<(), VaultError> {
        let arn = arn.to_owned();
        self.write(move |tables, _| {
            let mut record = find(tables, &arn)?;
            record.tags.retain(|key, value| {
                !unwanted.iter().any(|(unwanted, with)| {
                    unwanted == key && with.as_ref().is_none_or(|with| with == value)
                })
            });
            tables.put_certificate(&record, None)
        })
        .await
    }
}

fn too_many() -> VaultError {
    VaultError::refused(
        "LimitExceededException",
        format!("There are {MOST} certificates, and there can be no more. Delete some first."),
    )
}
