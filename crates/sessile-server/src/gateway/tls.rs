//! Certificates of the listener, and trust in upstreams.
//!
//! The cryptography is named, never taken from a process-wide default. A reload is all or nothing: files that cannot be used leave
//! the old certificate in place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use super::settings::TlsFiles;

/// Certificates or keys cannot be used: what, where, and what to do.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not there, not readable, or not PEM.
    #[error("{what} {path} cannot be read: {source}")]
    File {
        /// What the file should hold.
        what: &'static str,
        /// Where it is.
        path: String,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// A file has nothing in it.
    #[error("{path} holds no certificate: put the certificate first and its issuers after it, in PEM")]
    NoCertificate {
        /// Where it is.
        path: String,
    },
    /// Key and certificate do not belong together, or the key's kind is not supported.
    #[error("{key} is not the key of the first certificate in {cert}: {source}")]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
        /// Why not.
        source: rustls::Error,
    },
    /// No authority to check https upstreams with.
    #[error("no certificate authorities for https upstreams: {0}")]
    NoRoots(String),
    /// The library refuses its configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificate in use, exchangeable while connections come in.
pub struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Certificate {
    /// Loads and checks the files.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(read(&files)?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Loads the files again. New connections get the new certificate; on an error everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// The listener's side: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // What is resumed travels with the client, sealed under keys that change every six hours: kept here, it would be the
        // newest 256 clients' alone, and everybody else would pay for a full handshake.
        config.ticketer = Ticketer::new()?;
        Ok(config)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.cert, "the certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        what: "the private key",
        path: files.key.display().to_string(),
        source,
    })?;
    let mismatch = |source| TlsError::Mismatch {
        cert: files.cert.display().to_string(),
        key: files.key.display().to_string(),
        source,
    };
    // Also compares the key with the certificate.
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(mismatch)?;
    certified.keys_match().map_err(mismatch)?;
    Ok(certified)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { what, path: path.display().to_string(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.display().to_string() });
    }
    Ok(chain)
}

/// The client's side of https upstreams: the authorities of `ca`, or the system's.
pub fn client_config(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path, "the upstream authorities")? {
                roots.add(certificate)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
                return Err(TlsError::NoRoots(format!("{why}; name a PEM file of your own")));
            }
        }
    }
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The same with no authority at all.
pub fn empty_client_config() -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}
