//! Opening a connection and keeping it going.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::PostgresOptions;
use super::fault::{describe, fault};
use super::url::{PostgresUrl, Tls};
use crate::error::{StoreError, WriteOutcome};

/// How long opening may take: past it a host counts as away. Longer than a read may take, so it goes on without
/// whoever asked for it.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// What is in flight on a connection that got no answer for this long is given up by the system.
const UNANSWERED: Duration = Duration::from_secs(10);

/// One connection. The task that drives it ends with it.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Set when the server says that it did not wait for what it acknowledges.
    doubtful: Arc<AtomicBool>,
    /// Told of each notification.
    pub(super) notified: Arc<Notify>,
}

impl Connection {
    /// Whether a commit was acknowledged without the wait for its replicas.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.client.is_closed()).finish_non_exhaustive()
    }
}

/// Opens connections to one database.
pub(super) struct Opener {
    config: Config,
    place: String,
    password_file: Option<PathBuf>,
    tls: Option<MakeRustlsConnect>,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Opener {
    pub(super) fn new(url: &PostgresUrl, options: &PostgresOptions) -> Result<Self, StoreError> {
        let tls = match &url.tls {
            Tls::Disable => None,
            Tls::VerifyFull { roots } => Some(MakeRustlsConnect::new(client_config(roots.as_deref())?)),
        };
        let mut config = url.config.clone();
        config.connect_timeout(OPEN_WITHIN).tcp_user_timeout(UNANSWERED).keepalives_idle(UNANSWERED);
        Ok(Self { config, place: url.place(), password_file: options.password_file.clone(), tls })
    }

    /// Where it connects to, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Opens one. Call it on the runtime that is to drive it.
    pub(super) async fn open(&self) -> Result<Connection, StoreError> {
        let mut config = self.config.clone();
        if let Some(password) = self.password()? {
            config.password(password.as_bytes());
        }
        let opened = timeout(OPEN_WITHIN, async {
            match &self.tls {
                None => connect(&config, NoTls).await,
                Some(tls) => connect(&config, tls.clone()).await,
            }
        });
        match opened.await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                let why = format!("no connection to {}: {}", self.place, describe(&error));
                Err(match fault(&error, WriteOutcome::NotDone) {
                    StoreError::Full(_) => StoreError::Full(why),
                    _ => StoreError::not_done(why),
                })
            }
            Err(_) => Err(StoreError::not_done(format!("no connection to {} within {OPEN_WITHIN:?}", self.place))),
        }
    }

    // Read for each connection, so that a password can be changed under a running server.
    fn password(&self) -> Result<Option<Zeroizing<String>>, StoreError> {
        if let Some(path) = &self.password_file {
            let file = |source| StoreError::File { path: path.clone(), source };
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
            return Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())));
        }
        let needed = self.config.get_password().is_none();
        Ok(std::env::var("PGPASSWORD").ok().filter(|_| needed).map(Zeroizing::new))
    }
}

async fn connect<T>(config: &Config, tls: T) -> Result<Connection, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let (doubtful, notified) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    tokio::spawn(drive(connection, doubtful.clone(), notified.clone()));
    Ok(Connection { client, doubtful, notified })
}

// Ends when the client is dropped or the connection breaks; whoever waits for an answer then hears of it.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, doubtful: Arc<AtomicBool>, notified: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            AsyncMessage::Notification(_) => notified.notify_one(),
            AsyncMessage::Notice(notice) if gave_up_waiting(&notice) => doubtful.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

// With synchronous replication a commit that is told to stop waiting is acknowledged all the same, after a warning: it
// is on this machine alone. The warning's code is the general one and its text is in the server's language; what tells it
// apart is the place in the server that it comes from.
fn gave_up_waiting(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN")
}

fn client_config(roots: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            for certificate in certificates(path)? {
                let wrong = |fault: rustls::Error| invalid(path, fault.to_string());
                store.add(certificate).map_err(wrong)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if store.add_parsable_certificates(found.certs).0 == 0 {
                let why =
                    "the system has no certificate authorities to verify PostgreSQL with; name some by sslrootcert";
                return Err(StoreError::not_done(why));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|fault| StoreError::Internal(fault.to_string()))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let wrong = |fault: rustls::pki_types::pem::Error| invalid(path, fault.to_string());
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(invalid(path, "it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

fn invalid(path: &Path, why: String) -> StoreError {
    StoreError::File { path: path.to_owned(), source: std::io::Error::new(std::io::ErrorKind::InvalidData, why) }
}
