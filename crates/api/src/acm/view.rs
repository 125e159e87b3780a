//! Certificates as Certificate Manager shows them.

use aws::acm::{
    CertificateDetail, CertificateKeyPairOrigin, CertificateStatus, CertificateSummary,
    CertificateType, DomainStatus, DomainValidation, KeyAlgorithm, RenewalEligibility, Tag,
    ValidationMethod,
};
use stdx::Timestamp;
use vault::{Certificate, CertificateOrigin, Tags};

/// Whether a certificate still serves.
pub(super) fn status(it: &Certificate, now: Timestamp) -> CertificateStatus {
    if now > it.not_after { CertificateStatus::Expired } else { CertificateStatus::Issued }
}

const fn kind(origin: CertificateOrigin) -> CertificateType {
    match origin {
        CertificateOrigin::Imported => CertificateType::Imported,
        CertificateOrigin::SelfSigned => CertificateType::AmazonIssued,
    }
}

const fn key_origin(origin: CertificateOrigin) -> CertificateKeyPairOrigin {
    match origin {
        CertificateOrigin::Imported => CertificateKeyPairOrigin::CustomerProvided,
        CertificateOrigin::SelfSigned => CertificateKeyPairOrigin::AwsManaged,
    }
}

pub(super) fn detail(it: &Certificate, users: Vec<String>, now: Timestamp) -> CertificateDetail {
    let imported = it.origin == CertificateOrigin::Imported;
    CertificateDetail {
        certificate_arn: Some(it.arn.clone()),
        domain_name: it.names.first().cloned(),
        subject_alternative_names: Some(it.names.clone()),
        domain_validation_options: (!imported).then(|| validations(it)),
        serial: Some(it.serial.clone()),
        subject: Some(it.subject.clone()),
        issuer: Some(it.issuer.clone()),
        created_at: Some(it.created),
        issued_at: (!imported).then_some(it.issued),
        imported_at: imported.then_some(it.issued),
        status: Some(status(it, now)),
        not_before: Some(it.not_before),
        not_after: Some(it.not_after),
        key_algorithm: Some(KeyAlgorithm::from(it.key_algorithm.as_str())),
        signature_algorithm: Some(it.signature_algorithm.clone()),
        in_use_by: Some(users),
        r#type: Some(kind(it.origin)),
        renewal_eligibility: Some(RenewalEligibility::Ineligible),
        certificate_key_pair_origin: Some(key_origin(it.origin)),
        ..Default::default()
    }
}

/// Nothing was asked of anybody: each name is validated as soon as it is there.
fn validations(it: &Certificate) -> Vec<DomainValidation> {
    let one = |name: &String| DomainValidation {
        domain_name: Some(name.clone()),
        validation_domain: Some(name.clone()),
        validation_status: Some(DomainStatus::Success),
        validation_method: Some(ValidationMethod::Dns),
        ..Default::default()
    };
    it.names.iter().map(one).collect()
}

pub(super) fn summary(it: &Certificate, in_use: bool, now: Timestamp) -> CertificateSummary {
    let imported = it.origin == CertificateOrigin::Imported;
    CertificateSummary {
        certificate_arn: Some(it.arn.clone()),
        domain_name: it.names.first().cloned(),
        subject_alternative_name_summaries: Some(it.names.iter().take(100).cloned().collect()),
        has_additional_subject_alternative_names: Some(it.names.len() > 100),
        status: Some(status(it, now)),
        r#type: Some(kind(it.origin)),
        key_algorithm: Some(KeyAlgorithm::from(it.key_algorithm.as_str())),
        in_use: Some(in_use),
        not_before: Some(it.not_before),
        not_after: Some(it.not_after),
        created_at: Some(it.created),
        issued_at: (!imported).then_some(it.issued),
        imported_at: imported.then_some(it.issued),
        renewal_eligibility: Some(RenewalEligibility::Ineligible),
        certificate_key_pair_origin: Some(key_origin(it.origin)),
        ..Default::default()
    }
}

pub(super) fn tags(tags: &Tags) -> Vec<Tag> {
    let one = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    tags.iter().map(one).collect()
}
