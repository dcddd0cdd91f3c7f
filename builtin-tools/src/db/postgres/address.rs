//! Where a PostgreSQL database is, read from its URL: what the URL leaves open about TLS is decided here, and whether two
//! URLs mean the same database. Nothing here connects.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Config, Host, SslMode};

use crate::OptionsError;

/// PostgreSQL's port where none is named.
const PORT: u16 = 5432;

/// Reads a connection URL. A URL that is not `is_secret` stands in plain options and must not have a password.
pub(crate) fn config(url: &SecretString, is_secret: bool) -> Result<Config, OptionsError> {
    let meaning = |why: String| OptionsError::Meaning("database".into(), why);
    // The parser's error quotes nothing of the URL.
    let mut config = parse(url).map_err(|error| meaning(format!("the URL is not one: {error}")))?;
    if !is_secret && config.get_password().is_some() {
        let advice = "a URL with a password belongs under `secrets`; name it here as `secret:NAME`";
        return Err(meaning(advice.into()));
    }
    if places(&config).next().is_none() {
        return Err(meaning("the URL names no host".into()));
    }
    if !url.expose_secret().contains("sslmode=") {
        let near = places(&config).all(|place| place.is_here());
        config.ssl_mode(if near { SslMode::Disable } else { SslMode::Require });
    }
    Ok(config)
}

/// As libpq reads it. Its modes that verify the server are what `require` is here: TLS without looking at the certificate
/// is not offered.
fn parse(url: &SecretString) -> Result<Config, tokio_postgres::Error> {
    let mut text = url.expose_secret().to_owned();
    for mode in ["sslmode=verify-full", "sslmode=verify-ca"] {
        text = text.replace(mode, "sslmode=require");
    }
    text.parse()
}

/// One of the places of a URL, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the certificate is for; an address where the URL has no name.
    pub(crate) host: Host,
    /// Where to connect to, when the URL gives the address beside the name.
    pub(crate) address: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
}

impl Place {
    fn is_here(&self) -> bool {
        match (&self.host, self.address) {
            (_, Some(address)) => address.is_loopback(),
            (Host::Tcp(name), None) => is_loopback(name),
            #[cfg(unix)]
            (Host::Unix(_), None) => true,
        }
    }

    /// In words that are the same for all spellings of this machine's own address.
    fn normal(&self) -> (String, u16) {
        let host = match (&self.host, self.address) {
            _ if self.is_here() => "localhost".to_owned(),
            (_, Some(address)) => address.to_string(),
            (Host::Tcp(name), None) => name.trim_end_matches('.').to_ascii_lowercase(),
            #[cfg(unix)]
            (Host::Unix(path), None) => path.to_string_lossy().into_owned(),
        };
        (host, self.port)
    }
}

/// The places of a URL.
pub(crate) fn places(config: &Config) -> impl Iterator<Item = Place> + '_ {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    (0..hosts.len().max(addresses.len())).filter_map(move |index| {
        let address = addresses.get(index).copied();
        let host = hosts.get(index).cloned().or_else(|| address.map(|address| Host::Tcp(address.to_string())))?;
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
        Some(Place { host, address, port })
    })
}

/// The hosts that are connected to, and their ports.
pub(crate) fn hosts(config: &Config) -> Vec<(String, u16)> {
    let host = |place: Place| match (place.address, place.host) {
        (Some(address), _) => (address.to_string(), place.port),
        (None, Host::Tcp(name)) => (name, place.port),
        #[cfg(unix)]
        (None, Host::Unix(path)) => (path.to_string_lossy().into_owned(), place.port),
    };
    places(config).map(host).collect()
}

fn is_loopback(name: &str) -> bool {
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `config` leads to one of the gateway's own databases, by host, port and name of the database.
pub(crate) fn is_off_limits(config: &Config, off_limits: &[SecretString]) -> bool {
    let own = off_limits.iter().filter_map(|url| parse(url).ok());
    own.into_iter().any(|own| {
        database(&own) == database(config)
            && places(&own).any(|own| places(config).any(|place| place.normal() == own.normal()))
    })
}

/// The database's name; PostgreSQL takes the user's where there is none.
fn database(config: &Config) -> Option<&str> {
    config.get_dbname().filter(|name| !name.is_empty()).or(config.get_user())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        config(&url.into(), true).unwrap().get_ssl_mode()
    }

    #[test]
    fn other_machines_are_spoken_to_over_tls_unless_the_url_says_otherwise() {
        assert_eq!(mode("postgres://a@db.example.com/x"), SslMode::Require);
        assert_eq!(mode("postgres://a@10.0.0.1/x"), SslMode::Require);
        assert_eq!(mode("postgres://a@localhost,db.example.com/x"), SslMode::Require);
        assert_eq!(mode("postgres://a@db.example.com/x?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://a@db.example.com/x?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://a@127.0.0.1/x?sslmode=require"), SslMode::Require);
        for here in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://a@{here}/x")), SslMode::Disable, "{here}");
        }
    }

    #[test]
    fn url_with_a_password_stands_only_among_the_secrets() {
        let url = "postgres://reader:hunter2@localhost/shop".into();
        let error = config(&url, false).unwrap_err().to_string();
        assert!(error.contains("secret:NAME") && !error.contains("hunter2"), "{error}");
        assert!(config(&url, true).is_ok());
        let error = config(&"postgres://reader:hunter2@/shop".into(), true).unwrap_err().to_string();
        assert!(error.contains("host") && !error.contains("hunter2"), "{error}");
        let error = config(&"postgres://reader:hunter2@h/shop?sslmode=maybe".into(), true).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_gateways_own_database_is_known_by_every_spelling() {
        let own = ["postgres://patchbay:x@localhost/patchbay".into()];
        let is_own = |url: &str| is_off_limits(&config(&url.into(), true).unwrap(), &own);
        for same in [
            "postgres://reader@127.0.0.1:5432/patchbay",
            "postgresql://reader@[::1]/patchbay",
            "postgres://reader@LOCALHOST/patchbay?sslmode=disable",
            "postgres://patchbay@127.0.0.1",
            "postgres://reader@elsewhere,localhost/patchbay",
            "postgres://reader@%2Fvar%2Frun%2Fpostgresql/patchbay",
            "postgres://reader@name/patchbay?hostaddr=127.0.0.1",
        ] {
            assert!(is_own(same), "{same}");
        }
        for other in [
            "postgres://reader@localhost/shop",
            "postgres://reader@localhost:5433/patchbay",
            "postgres://r@db/patchbay",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
