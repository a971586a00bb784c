//! A certificate authority of the sandbox's own, for clients that speak https alone.
//!
//! Authority and certificate are made anew at each start and never leave the process, but for the authority's
//! certificate, which a client is told to trust (`REQUESTS_CA_BUNDLE`, `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE`).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// What serves https, and the authority's certificate as PEM.
pub(crate) struct Tls {
    /// Takes connections.
    pub acceptor: TlsAcceptor,
    /// What a client has to trust.
    pub authority: String,
}

/// Makes an authority and a certificate for the loopback addresses; the text says what failed.
pub(crate) fn make() -> Result<Tls, String> {
    let (authority, chain, key) = certificates().map_err(|error| error.to_string())?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let chain = chain.into_iter().map(Into::into).collect();
            builder.with_no_client_auth().with_single_cert(chain, PrivatePkcs8KeyDer::from(key).into())
        });
    let mut config = config.map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
}

type Certificates = (String, Vec<Vec<u8>>, Vec<u8>);

/// The authority as PEM, the server's chain and its key.
fn certificates() -> Result<Certificates, rcgen::Error> {
    let mut params = params("trueup sandbox authority", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec();
    let mut params = self::params("trueup sandbox", names)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;
    let chain = vec![certificate.der().to_vec(), authority.der().to_vec()];
    Ok((authority.pem(), chain, key.serialize_der()))
}

fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    // Wide, since the sandbox's day has nothing to do with the client's clock.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    Ok(params)
}
