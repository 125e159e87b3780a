//! TLS policies, under the names that AWS has for them: those whose protocols and ciphers are among
//! what rustls serves. What a policy of AWS allows beyond that (TLS 1.0 and 1.1, CBC, RSA key
//! exchange) is never served, so policies that begin there are told without it, and those that are
//! about nothing else are not there.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html>

use aws::Error;
use aws::elbv2::{
    Cipher, DescribeSSLPoliciesInput, DescribeSSLPoliciesOutput, ErrorKind, SslPolicy,
};

use super::refer::page;

/// What AWS takes for listeners that name none, through its API.
pub(super) const USUAL: &str = "ELBSecurityPolicy-2016-08";

/// The names, and the versions of TLS that they stand for here.
const POLICIES: &[(&str, &[&str])] = &[
    ("ELBSecurityPolicy-2016-08", &["TLSv1.2"]),
    ("ELBSecurityPolicy-FS-1-2-2019-08", &["TLSv1.2"]),
    ("ELBSecurityPolicy-FS-1-2-Res-2019-08", &["TLSv1.2"]),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", &["TLSv1.2"]),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", &["TLSv1.2", "TLSv1.3"]),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", &["TLSv1.3"]),
];

const TLS13: &[&str] =
    &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// In OpenSSL's words, which AWS uses.
const TLS12: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Whether there is such a policy.
pub(super) fn check(name: &str) -> Result<(), Error> {
    if POLICIES.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let known: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
    Err(ErrorKind::SSLPolicyNotFoundException
        .with(format!("SSL policy '{name}' not found. Here there are {}", known.join(", "))))
}

pub(super) fn describe(
    request: &DescribeSSLPoliciesInput,
) -> Result<DescribeSSLPoliciesOutput, Error> {
    for name in request.names.iter().flatten() {
        check(name)?;
    }
    let wanted = |name: &str| {
        request
            .names
            .as_ref()
            .is_none_or(|names| names.is_empty() || names.iter().any(|wanted| wanted == name))
    };
    let all = POLICIES
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, protocols)| ((*name).to_owned(), view(name, protocols)))
        .collect();
    let (policies, next) =
        page("DescribeSSLPolicies", request.marker.as_ref(), request.page_size, all)?;
    Ok(DescribeSSLPoliciesOutput { ssl_policies: Some(policies), next_marker: next })
}

fn view(name: &str, protocols: &[&str]) -> SslPolicy {
    let mut ciphers: Vec<&str> = Vec::new();
    if protocols.contains(&"TLSv1.3") {
        ciphers.extend(TLS13);
    }
    if protocols.contains(&"TLSv1.2") {
        ciphers.extend(TLS12);
    }
    let ciphers = ciphers.iter().zip(1..).map(|(cipher, priority)| Cipher {
        name: Some((*cipher).to_owned()),
        priority: Some(priority),
    });
    SslPolicy {
        name: Some(name.to_owned()),
        ssl_protocols: Some(protocols.iter().map(|&version| version.to_owned()).collect()),
        ciphers: Some(ciphers.collect()),
        supported_load_balancer_types: Some(vec!["application".into(), "network".into()]),
    }
}
