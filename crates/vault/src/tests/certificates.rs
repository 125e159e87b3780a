//! Certificates: what is taken in, what is refused, what is kept.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use super::{open_at, refusal, store};
use crate::{
    CertificateOrigin, ImportCertificate, KeyKind, RequestCertificate, SecretValue, Vault,
    VaultError,
};

/// An authority and what it signed.
struct Signed {
    authority: String,
    certificate: String,
    key: String,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `shop.example.com`, valid in these years.
fn signed(from: i32, until: i32) -> Signed {
    let issuer = authority("Test CA");
    let mut params =
        CertificateParams::new(vec!["shop.example.com".into(), "b.example.com".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "shop.example.com");
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Signed { authority: issuer.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
}

fn import(certificate: &str, key: &str, chain: Option<&str>) -> ImportCertificate {
    ImportCertificate {
        arn: None,
        certificate: certificate.as_bytes().to_vec(),
        chain: chain.map(|chain| chain.as_bytes().to_vec()),
        private_key: SecretValue::binary(key.as_bytes().to_vec()),
        tags: Default::default(),
    }
}

async fn try_import(vault: &Vault, wanted: ImportCertificate) -> Result<String, VaultError> {
    vault.import_certificate(wanted).await
}

#[tokio::test]
async fn what_fits_is_kept_and_its_key_comes_back() {
    let store = store();
    let good = signed(2026, 2036);
    let wanted = import(&good.certificate, &good.key, Some(&good.authority));
    let arn = try_import(&store.vault, wanted).await.unwrap();
    assert!(arn.starts_with("arn:aws:acm:us-east-1:123456789012:certificate/"), "{arn}");
    let told = store.vault.describe_certificate(&arn).await.unwrap();
    assert_eq!(told.names, ["shop.example.com", "b.example.com"]);
    assert_eq!(
        (told.origin, told.key_algorithm.as_str()),
        (CertificateOrigin::Imported, "EC_prime256v1")
    );
    assert_eq!(told.issuer, "CN=Test CA");
    // Again from the disk.
    let (dir, clock) = (store.dir, store.clock);
    drop(store.vault);
    let vault = open_at(dir.path(), &clock);
    let (chain, key) = vault.certificate_pair(&arn).await.unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(key.reveal_text(), Some(good.key.as_str()), "PEM is text");
    assert_eq!(vault.certificates().await.unwrap().len(), 1);
    vault.delete_certificate(&arn).await.unwrap();
    assert_eq!(refusal(vault.certificate_pair(&arn).await).0, "ResourceNotFoundException");
    assert_eq!(refusal(vault.delete_certificate(&arn).await).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_reason() {
    let store = store();
    let (good, other) = (signed(2026, 2036), signed(2026, 2036));
    let (past, future) = (signed(2020, 2021), signed(2030, 2036));
    let both = format!("{}{}", good.certificate, good.authority);
    for (wanted, words) in [
        (import(&good.certificate, &other.key, None), "do not match"),
        (import("", &good.key, None), "PEM"),
        (
            import(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &good.key,
                None,
            ),
            "X.509",
        ),
        (import(&good.certificate, "", None), "private key"),
        (import(&both, &good.key, None), "only one"),
        (import(&good.certificate, &good.key, Some(&other.authority)), "not in order"),
        (import(&good.certificate, &good.key, Some(&good.certificate)), "not in order"),
        (import(&past.certificate, &past.key, None), "expired"),
        (import(&future.certificate, &future.key, None), "not valid yet"),
    ] {
        let (code, message) = refusal(try_import(&store.vault, wanted).await);
        assert_eq!(code, "ValidationException");
        assert!(message.contains(words), "{message}");
    }
    assert!(store.vault.certificates().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_on_request_signs_itself_and_a_repetition_is_the_same() {
    let store = store();
    let wanted = RequestCertificate {
        names: vec!["app.example.com".into(), "*.app.example.com".into()],
        key: KeyKind::P384,
        token: Some("t".into()),
        tags: Default::default(),
    };
    let arn = store.vault.request_certificate(wanted.clone()).await.unwrap();
    assert_eq!(store.vault.request_certificate(wanted.clone()).await.unwrap(), arn);
    let told = store.vault.describe_certificate(&arn).await.unwrap();
    assert_eq!(told.names, wanted.names);
    assert_eq!(told.issuer, told.subject);
    assert_eq!(told.key_algorithm, "EC_secp384r1");
    let (not_before, now) = (told.not_before, super::NOW);
    assert!(not_before <= now && now.since(not_before).as_secs() < 86_400 && told.not_after > now);
    // Its own key is its own.
    let (chain, key) = store.vault.certificate_pair(&arn).await.unwrap();
    let key = String::from_utf8(key.reveal_bytes().to_vec()).unwrap();
    try_import(&store.vault, import(&chain, &key, None)).await.unwrap();
    // After its deletion the token is free again.
    store.vault.delete_certificate(&arn).await.unwrap();
    assert_ne!(store.vault.request_certificate(wanted).await.unwrap(), arn);
}

#[tokio::test]
async fn no_private_key_is_on_the_disk_in_plain() {
    let store = store();
    let good = signed(2026, 2036);
    try_import(&store.vault, import(&good.certificate, &good.key, None)).await.unwrap();
    let (dir, _) = (store.dir, drop(store.vault));
    let needle = good.key.lines().nth(1).unwrap().to_owned();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(needle.len()).any(|part| part == needle.as_bytes()));
    }
}

#[tokio::test]
async fn tags_come_and_go() {
    let store = store();
    let good = signed(2026, 2036);
    let arn = try_import(&store.vault, import(&good.certificate, &good.key, None)).await.unwrap();
    let tags = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    store.vault.tag_certificate(&arn, tags(&[("a", "1"), ("b", "2")])).await.unwrap();
    let keep = vec![("a".to_owned(), Some("9".to_owned())), ("b".to_owned(), None)];
    store.vault.untag_certificate(&arn, keep).await.unwrap();
    assert_eq!(store.vault.describe_certificate(&arn).await.unwrap().tags, tags(&[("a", "1")]));
    let reserved = store.vault.tag_certificate(&arn, tags(&[("aws:x", "1")])).await;
    assert_eq!(refusal(reserved).0, "InvalidTagException");
}
