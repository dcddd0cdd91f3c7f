//! A certificate authority of a test's own, made with the `openssl` that comes with the certificates of the public ones, and a
//! server that notes whether its visitors trust it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use patchbay_e2e::process::{command, run};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;

/// How long a visitor may take to say whether it trusts the server.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// An authority that nobody knows.
pub(super) struct Authority {
    folder: TempDir,
}

impl Authority {
    /// By this name, which no other one should have: who finds the name known and the signature wrong says something else.
    pub(super) fn new(name: &str) -> Self {
        let folder = TempDir::with_prefix("patchbay-e2e-authority-").unwrap();
        let subject = format!("/CN={name}");
        let name = ["-subj", &subject, "-keyout", "ca.key", "-out", "ca.pem"];
        request(folder.path(), &name);
        let of = ["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem", "-CA", "ca.pem"];
        let for_what =
            ["-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"];
        request(folder.path(), &[of.as_slice(), &for_what].concat());
        Self { folder }
    }

    /// Its own certificate, as PEM.
    pub(super) fn certificate(&self) -> String {
        fs::read_to_string(self.folder.path().join("ca.pem")).unwrap()
    }

    /// What a server on `localhost` needs that it has signed.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.folder.path().join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.folder.path().join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Arc::new(config.unwrap())
    }
}

fn request(folder: &Path, more: &[&str]) {
    let always = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let mut openssl = command(Path::new("openssl"), always.iter().chain(more));
    run(openssl.current_dir(folder)).good();
}

/// A TLS server that says nothing more once it is trusted.
pub(super) struct Server {
    /// Where it listens.
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Result<(), String>>>>,
}

impl Server {
    pub(super) fn start(config: &Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let (config, notes) = (config.clone(), seen.clone());
        // Ends with the process of the test.
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                let outcome = shake_hands(&config, visitor);
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
            }
        });
        Self { address, seen }
    }

    /// How each visit went.
    pub(super) fn seen(&self) -> Vec<Result<(), String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers until the first byte of a request is there: with TLS 1.3 only that says that the visitor trusts us.
fn shake_hands(config: &Arc<ServerConfig>, mut visitor: TcpStream) -> Result<(), String> {
    use std::io::Read;
    visitor.set_read_timeout(Some(HANDSHAKE)).map_err(|error| error.to_string())?;
    let mut connection = ServerConnection::new(config.clone()).map_err(|error| error.to_string())?;
    let mut stream = rustls::Stream::new(&mut connection, &mut visitor);
    match stream.read(&mut [0; 1]) {
        Ok(1) => Ok(()),
        Ok(_) => Err("the visitor left without a word".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
