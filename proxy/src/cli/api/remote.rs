//! A gateway elsewhere: its address, the admin key, and requests over HTTP. The key goes into one header and into no message, and
//! never over a line that others can read, unless the user insists.

use std::{io::Read, path::PathBuf, time::Duration};

use anyhow::Context;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use url::{Host, Url};

use super::{Ask, ROOT, trouble::Trouble};
use crate::edge::admin::Pieces;

/// The variable with the admin key.
const KEY_VARIABLE: &str = "PATCHBAY_ADMIN_KEY";
/// Bytes that are read of a file with a key: a token of an issuer is longer than a key.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a whole answer may take, and a long one between two pieces.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A gateway as it is named on the command line.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Server {
    /// Its address.
    pub(in crate::cli) url: String,
    /// The file with the admin key.
    pub(in crate::cli) key_file: Option<PathBuf>,
    /// Whether the key may go over a line that others can read.
    pub(in crate::cli) insecure_http: bool,
}

/// See the module.
pub(super) struct Remote {
    client: Client,
    /// The address, without a slash at its end.
    base: String,
    credential: HeaderValue,
}

impl Remote {
    /// A gateway that may be asked; nobody is asked yet.
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let base = base(&server.url, server.insecure_http)?;
        let credential = credential(server)?;
        let client = client(base.scheme() == "https").context("the HTTP client cannot be made")?;
        let base = base.as_str().trim_end_matches('/');
        Ok(Self { client, base: base.strip_suffix(ROOT).unwrap_or(base).to_owned(), credential })
    }

    /// Asks; `is_short` for answers that are read as a whole.
    pub(super) async fn ask(&self, ask: Ask, is_short: bool) -> Result<(StatusCode, HeaderMap, Pieces), Trouble> {
        let is_change = ask.method != Method::GET;
        let url = format!("{}{}", self.base, ask.target());
        let mut request = self.client.request(ask.method, url).headers(ask.headers).body(ask.body);
        request = request.header(header::AUTHORIZATION, self.credential.clone());
        if is_short {
            request = request.timeout(ANSWER_TIME_MAX);
        }
        let response = request.send().await.map_err(|error| self.unreached(error, is_change))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status == StatusCode::UNAUTHORIZED {
            return Err(Trouble::Other(format!(
                "{} does not take this admin key: it is unknown there, expired or revoked",
                self.base
            )));
        }
        let next = |mut response: reqwest::Response| async move {
            match response.chunk().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), response)),
                Err(error) => Some((Err(chain(error.without_url())), response)),
            }
        };
        Ok((status, headers, Box::pin(stream::unfold(response, next))))
    }

    fn unreached(&self, error: reqwest::Error, is_change: bool) -> Trouble {
        let (base, error) = (&self.base, error.without_url());
        if error.is_connect() {
            return Trouble::Other(format!(
                "{base} cannot be reached: is the gateway running, and is this where it listens for admins (listen.admin)? ({})",
                chain(error)
            ));
        }
        if error.is_timeout() {
            let why = format!("there was none within {} s", ANSWER_TIME_MAX.as_secs());
            return self.broken(&why, is_change);
        }
        self.broken(&chain(error), is_change)
    }

    /// What is said of an answer that does not come to its end.
    pub(super) fn broken(&self, why: &str, is_change: bool) -> Trouble {
        let then = if is_change { ". Look whether the change was made before you make it again" } else { "" };
        Trouble::Other(format!("{} gave no whole answer: {why}{then}", self.base))
    }

    /// What is said of an answer that is none of the API's.
    pub(super) fn stranger(&self, status: StatusCode) -> String {
        format!(
            "{} does not answer like a gateway's admin API ({status}): expected the address of its listener for admins \
             (listen.admin), as in https://patchbay-admin.example.org",
            self.base
        )
    }
}

/// An error with what it comes from.
fn chain(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

/// The address of the gateway.
fn base(text: &str, insecure_http: bool) -> anyhow::Result<Url> {
    let expected = "--server (PATCHBAY_SERVER): expected the address of a gateway's admin listener, as in https://patchbay-admin.example.org";
    let url: Url = text.parse().ok().with_context(|| expected.to_owned())?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    anyhow::ensure!(matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain, "{expected}");
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    anyhow::ensure!(
        url.scheme() == "https" || is_loopback || insecure_http,
        "--server (PATCHBAY_SERVER): with http:// everybody on the way could read the admin key. Expected https://, or an address of \
         this machine; --insecure-http allows it all the same"
    );
    Ok(url)
}

/// What is shown at the gate. It is taken from a file or from the environment: arguments can be read by others on the machine.
fn credential(server: &Server) -> anyhow::Result<HeaderValue> {
    let (from, text) = match &server.key_file {
        Some(path) => {
            let mut text = String::new();
            let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
            file.take(KEY_BYTES_MAX)
                .read_to_string(&mut text)
                .with_context(|| format!("{} is no text", path.display()))?;
            (path.display().to_string(), text)
        }
        None => (KEY_VARIABLE.to_owned(), std::env::var(KEY_VARIABLE).unwrap_or_default()),
    };
    let key = text.trim();
    let key = key.strip_prefix("Bearer ").unwrap_or(key).trim();
    anyhow::ensure!(
        !key.is_empty(),
        "there is no admin key in {from}: set {KEY_VARIABLE}, or name a file with --admin-key-file. A gateway shows its first key when it \
         first starts; `patchbay admin-key create` beside its store makes another"
    );
    anyhow::ensure!(
        key.bytes().all(|byte| byte.is_ascii_graphic()),
        "what is in {from} is no admin key: expected one line, as `patchbay admin-key create` shows it"
    );
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).context("the admin key cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// A client that repeats nothing by itself and follows nothing to another place, where the key would go along.
fn client(is_https: bool) -> anyhow::Result<Client> {
    let builder = Client::builder()
        .user_agent(concat!("patchbay/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIME_MAX)
        .read_timeout(ANSWER_TIME_MAX)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .http1_only();
    if is_https {
        // The roots that the operating system trusts. Another one may have set the provider already; it will do.
        let _ = ring::default_provider().install_default();
        return Ok(builder.build()?);
    }
    // Nothing is encrypted, so nobody need be trusted, also on machines that trust nobody.
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.no_proxy().tls_backend_preconfigured(tls).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_no_line_that_others_can_read_unless_one_insists() {
        for (text, told) in [
            ("https://patchbay.example.org", None),
            ("https://patchbay.example.org/behind/", None),
            ("http://127.0.0.1:9091", None),
            ("http://[::1]:9091", None),
            ("http://localhost:9091/admin/v1", None),
            ("http://10.0.0.1:9091", Some("--insecure-http")),
            ("http://localhost.example.org:9091", Some("--insecure-http")),
            ("127.0.0.1:9091", Some("expected the address")),
            ("patchbay", Some("expected the address")),
            ("ftp://patchbay.example.org", Some("expected the address")),
            ("https://user:word@patchbay.example.org", Some("expected the address")),
            ("https://patchbay.example.org?x=y", Some("expected the address")),
        ] {
            let found = base(text, false).err().map(|error| error.to_string());
            assert!(
                found.as_deref().zip(told).is_some_and(|(found, told)| found.contains(told))
                    || (found.is_none() && told.is_none()),
                "{text}: {found:?}"
            );
            assert!(found.is_none_or(|found| !found.contains("word")));
        }
        assert!(base("http://10.0.0.1:9091", true).is_ok());
    }

    #[test]
    fn a_key_is_read_from_its_file_and_stands_in_no_debug_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let server = Server {
            url: "http://127.0.0.1:1/admin/v1/".into(),
            key_file: Some(file.path().into()),
            insecure_http: false,
        };
        for (text, told) in [
            ("pba_abc\n", None),
            ("Bearer pba_abc\r\n", None),
            ("", Some("there is no admin key in ")),
            ("pba_abc pba_def", Some("is no admin key")),
            ("pba_ä", Some("is no admin key")),
        ] {
            std::fs::write(file.path(), text).unwrap();
            match (Remote::new(&server), told) {
                (Ok(remote), None) => {
                    assert_eq!(remote.credential, "Bearer pba_abc");
                    assert_eq!(remote.base, "http://127.0.0.1:1");
                    assert!(!format!("{:?}", remote.credential).contains("pba_"));
                }
                (Err(error), Some(told)) => {
                    let found = error.to_string();
                    assert!(found.contains(told) && !found.contains("pba_a"), "{text}: {found}");
                }
                (found, _) => panic!("{text}: {:?}", found.err()),
            }
        }
        std::fs::remove_file(file.path()).unwrap();
        assert!(Remote::new(&server).err().unwrap().to_string().contains("cannot be read"));
    }
}
