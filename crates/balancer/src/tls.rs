//! TLS on both sides: certificates by server name for clients, and no verification of targets, as an ALB
//! has it.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::account::TlsFacts;
use crate::{AlpnPolicy, Certificate, CertificateId, ListenerProtocol, TlsSettings, TlsVersion};

/// A certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate in the PEM.
    #[error("certificate {id}: there is no PEM certificate in its chain ({message})")]
    Chain {
        /// Which.
        id: CertificateId,
        /// What the reader says.
        message: String,
    },
    /// There is no private key in the PEM, or one of a kind that TLS has not.
    #[error("certificate {id}: the private key cannot be used: {message}")]
    Key {
        /// Which.
        id: CertificateId,
        /// What the reader says.
        message: String,
    },
    /// The key is another certificate's.
    #[error("certificate {id}: the private key does not belong to the certificate")]
    Mismatch {
        /// Which.
        id: CertificateId,
    },
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certified(certificate: &Certificate) -> Result<CertifiedKey, CertificateError> {
    let id = || certificate.id.clone();
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::Chain { id: id(), message: error.to_string() })?;
    if chain.is_empty() {
        return Err(CertificateError::Chain { id: id(), message: "it is empty".to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|error| CertificateError::Key { id: id(), message: error.to_string() })?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|error| CertificateError::Key { id: id(), message: error.to_string() })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(CertificateError::Mismatch { id: id() })
        }
        // A key that does not tell its public half is taken at its word.
        Err(rustls::Error::InconsistentKeys(_)) => Ok(certified),
        Err(error) => Err(CertificateError::Chain { id: id(), message: error.to_string() }),
    }
}

/// Whether a certificate can be shown: its PEM is readable and its key fits.
pub fn check_certificate(certificate: &Certificate) -> Result<(), CertificateError> {
    certified(certificate).map(drop)
}

/// The certificates of a listener; the first is the default.
struct Resolver(Vec<(CertificateId, Arc<CertifiedKey>)>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Resolver {
    fn choose(&self, name: Option<&str>) -> Option<&(CertificateId, Arc<CertifiedKey>)> {
        let fits = |name: &ServerName<'_>, key: &CertifiedKey| {
            key.end_entity_cert()
                .and_then(ParsedCertificate::try_from)
                .is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
        };
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        name.and_then(|name| self.0.iter().find(|(_, key)| fits(&name, key)))
            .or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).map(|(_, key)| Arc::clone(key))
    }
}

/// A listener's side of TLS.
pub(crate) struct ServerTls {
    pub(crate) acceptor: TlsAcceptor,
    resolver: Arc<Resolver>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resolver.fmt(f)
    }
}

impl ServerTls {
    /// What a listener's settings come to; `http2` offers it on HTTPS listeners.
    pub(crate) fn new(
        protocol: &ListenerProtocol,
        settings: &TlsSettings,
        http2: bool,
    ) -> Result<Self, CertificateError> {
        let certificates =
            std::iter::once(&settings.default_certificate).chain(&settings.certificates);
        let keys = certificates
            .map(|certificate| Ok((certificate.id.clone(), Arc::new(certified(certificate)?))))
            .collect::<Result<_, CertificateError>>()?;
        let resolver = Arc::new(Resolver(keys));
        let versions: &[&rustls::SupportedProtocolVersion] =
            match (settings.minimum, settings.only_tls12) {
                (TlsVersion::Tls12, true) => &[&rustls::version::TLS12],
                (TlsVersion::Tls12, false) => &[&rustls::version::TLS13, &rustls::version::TLS12],
                (TlsVersion::Tls13, _) => &[&rustls::version::TLS13],
            };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("ring has both versions of TLS");
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = alpn(protocol, settings.alpn, http2);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), resolver })
    }

    /// What a handshake found, for headers and logs.
    pub(crate) fn facts(&self, connection: &rustls::ServerConnection) -> TlsFacts {
        let server_name = connection.server_name().map(str::to_owned);
        TlsFacts {
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map(openssl_name)
                .unwrap_or_default(),
            certificate: self.resolver.choose(server_name.as_deref()).map(|(id, _)| id.clone()),
            server_name,
            alpn: connection
                .alpn_protocol()
                .map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        }
    }
}

fn alpn(protocol: &ListenerProtocol, policy: AlpnPolicy, http2: bool) -> Vec<Vec<u8>> {
    let names: &[&str] = match protocol {
        ListenerProtocol::Https(_) if http2 => &["h2", "http/1.1"],
        ListenerProtocol::Https(_) => &["http/1.1"],
        ListenerProtocol::Tls(_) => match policy {
            AlpnPolicy::None => &[],
            AlpnPolicy::Http1Only => &["http/1.1", "http/1.0"],
            AlpnPolicy::Http2Only => &["h2"],
            AlpnPolicy::Http2Optional => &["http/1.1", "http/1.0", "h2"],
            AlpnPolicy::Http2Preferred => &["h2", "http/1.1", "http/1.0"],
        },
        ListenerProtocol::Http
        | ListenerProtocol::Tcp
        | ListenerProtocol::Udp
        | ListenerProtocol::TcpUdp => &[],
    };
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A cipher suite's name as OpenSSL, and so AWS, has it.
fn openssl_name(iana: &str) -> String {
    if let Some(rest) = iana.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let plain = iana.strip_prefix("TLS_").unwrap_or(iana).replace("_WITH_", "_").replace('_', "-");
    let plain = plain.replace("AES-128", "AES128").replace("AES-256", "AES256");
    plain
        .strip_suffix("-SHA256")
        .filter(|name| name.contains("CHACHA20"))
        .map(str::to_owned)
        .unwrap_or(plain)
}

/// The balancer's side of TLS to targets.
#[derive(Clone)]
pub(crate) struct ClientTls {
    plain: TlsConnector,
    http2: TlsConnector,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    pub(crate) fn new() -> Self {
        let connector = |http2: bool| {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("ring has both versions of TLS");
            let mut config = builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate))
                .with_no_client_auth();
            if http2 {
                config.alpn_protocols = vec![b"h2".to_vec()];
            }
            TlsConnector::from(Arc::new(config))
        };
        Self { plain: connector(false), http2: connector(true) }
    }

    pub(crate) const fn connector(&self, http2: bool) -> &TlsConnector {
        if http2 { &self.http2 } else { &self.plain }
    }
}

/// Takes any certificate of a target: an ALB encrypts, but does not verify whom it speaks to.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_named_as_aws_names_them() {
        for (iana, name) in [
            ("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(openssl_name(iana), name);
        }
    }
}
