//! Built-in servers: from what a tenant says of one to the tool server, and whether what that needs can be reached. `servers`
//! builds from here, and so do the commands that tell doubts. Which kinds there are is known to `patchbay-builtin-tools`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream};
use patchbay_builtin_tools::{BUILTINS, Builtin, Given, OffLimits, ToolServer};
use patchbay_config::{GatewayConfig, StoreTarget};
use secrecy::SecretString;
use serde_json::Value;
use tokio::{sync::Semaphore, time::Instant};

/// The sample database in the data folder, which everybody may look into.
pub(crate) const SAMPLE_FILE: &str = "shop.db";
/// How long those that are checked together may take.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
/// Servers that are checked at once.
const CHECKS_MAX: usize = 8;

/// The tool server of that kind, or a sentence about what is wrong. Connects to nothing.
pub(crate) fn build(
    config: &GatewayConfig,
    kind: &str,
    options: &Value,
    secrets: BTreeMap<String, SecretString>,
) -> Result<ToolServer, String> {
    let builtin = Builtin::find(kind).ok_or_else(|| {
        let known: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).collect();
        format!("there is no built-in server `{kind}`; there are: {}", known.join(", "))
    })?;
    let given = Given { options: options.clone(), secrets, off_limits: off_limits(config) };
    builtin.build(&given).map_err(|error| error.to_string())
}

/// The secrets that a built-in server names, from where `held` finds them by the names that the store has.
pub(crate) fn secrets(names: &[String], held: impl Fn(&str) -> Option<SecretString>) -> BTreeMap<String, SecretString> {
    names.iter().filter_map(|name| Some((name.clone(), held(&format!("secret:{name}"))?))).collect()
}

/// What belongs to the gateway itself: its store holds all tenants.
fn off_limits(config: &GatewayConfig) -> OffLimits {
    match &config.store {
        StoreTarget::Sqlite(path) => OffLimits { files: vec![path.clone()], ..OffLimits::default() },
        StoreTarget::Postgres(url) => OffLimits { databases: vec![url.clone()], ..OffLimits::default() },
    }
}

/// Asks all servers whether they can be used, some at once, and tells of those that cannot, and why. The texts are for
/// operators. Takes ten seconds at the most, however many there are.
pub(crate) async fn check_all<T>(servers: Vec<(T, ToolServer)>) -> Vec<(T, String)> {
    let ask = |(of, server): (T, ToolServer)| -> (T, Check) { (of, Box::pin(async move { server.check().await })) };
    told(servers.into_iter().map(ask).collect()).await
}

type Check = BoxFuture<'static, Result<(), String>>;

async fn told<T>(checks: Vec<(T, Check)>) -> Vec<(T, String)> {
    let deadline = Instant::now() + CHECK_PATIENCE;
    let run = |(of, check): (T, Check)| async move { Some((of, failure(check, deadline).await?)) };
    // As a list: the compiler cannot see that a stream which makes its futures itself may cross threads.
    let runs: Vec<_> = checks.into_iter().map(run).collect();
    stream::iter(runs).buffered(CHECKS_MAX).filter_map(std::future::ready).collect().await
}

/// Why the check failed, if it did.
async fn failure(check: impl Future<Output = Result<(), String>>, deadline: Instant) -> Option<String> {
    let late = |_| Err(format!("it could not be checked within {} s", CHECK_PATIENCE.as_secs()));
    tokio::time::timeout_at(deadline, check).await.unwrap_or_else(late).err()
}

/// The turns of checks that run beside the gateway's work. Cloning shares them.
#[derive(Clone)]
pub(super) struct Checks(Arc<Semaphore>);

impl Checks {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CHECKS_MAX)))
    }

    /// Waits for a turn, then asks the server; tells the log when it cannot be used as it stands.
    pub(super) async fn run(self, tenant: String, server: String, asked: ToolServer) {
        let Ok(_turn) = self.0.acquire().await else { return };
        if let Some(why) = failure(asked.check(), Instant::now() + CHECK_PATIENCE).await {
            tracing::warn!(
                tenant,
                server,
                "the built-in server {server} of {tenant} cannot be used as it stands: {why}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::Mutex,
    };

    use patchbay_config::Environment;
    use serde_json::json;
    use tracing::instrument::WithSubscriber;

    use super::*;

    fn config(settings: &[(&str, &str)]) -> GatewayConfig {
        patchbay_config::load(None, &settings.iter().copied().collect::<Environment>()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_stay_silent_are_told_when_the_time_is_over() {
        let begun = Instant::now();
        let silent = (0..20).map(|n| (n, Box::pin(pending()) as Check));
        let known = [(20, Box::pin(ready(Ok(()))) as Check), (21, Box::pin(ready(Err("no host".to_owned()))) as Check)];
        let told = told(known.into_iter().chain(silent).collect()).await;
        assert_eq!(told.len(), 21);
        assert_eq!(told[0], (21, "no host".to_owned()));
        assert!(told[1..].iter().all(|(_, why)| why == "it could not be checked within 10 s"), "{told:?}");
        assert!(begun.elapsed() < CHECK_PATIENCE + Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_used_is_in_the_log_without_its_secrets() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        // Nothing listens on the port.
        let url = SecretString::from("postgres://reader:s3cret@127.0.0.1:1/books");
        let server =
            build(&config(&[]), "db", &json!({ "database": "secret:url" }), [("url".to_owned(), url)].into()).unwrap();
        Checks::new().run("acme".to_owned(), "books".to_owned(), server).with_subscriber(log).await;
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let expected =
            "WARN patchbay::control::builtins: the built-in server books of acme cannot be used as it stands: ";
        assert!(said.contains(expected) && said.contains("tenant=\"acme\" server=\"books\""), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }

    /// A log that can be read.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_gateways_own_store_is_no_database_for_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let own = folder.path().join("patchbay.db");
        patchbay_builtin_tools::db::create_sample_shop(&own).unwrap();
        let options = json!({ "database": own });
        let error = build(&config(&[("PATCHBAY_DATA_DIR", data)]), "db", &options, BTreeMap::new()).unwrap_err();
        assert!(error.contains("belongs to the gateway itself"), "{error}");

        let url = "postgres://patchbay:pw@db.example.org/patchbay";
        let key = "k".repeat(32);
        let settings = [("PATCHBAY_STORE_URL", url), ("PATCHBAY_SEALING_KEY", "env:KEY"), ("KEY", key.as_str())];
        let given = off_limits(&config(&settings));
        assert!(given.files.is_empty() && given.databases.len() == 1 && !format!("{given:?}").contains("pw"));
    }

    #[test]
    fn a_secret_reaches_the_server_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        patchbay_builtin_tools::db::create_sample_shop(&path).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let held = |name: &str| (name == "secret:place").then(|| SecretString::from(path.clone()));
        let given = secrets(&["place".to_owned(), "absent".to_owned()], held);
        assert_eq!(given.keys().collect::<Vec<_>>(), ["place"]);
        let config = config(&[("PATCHBAY_DATA_DIR", "nowhere")]);
        build(&config, "db", &json!({ "database": "secret:place" }), given.clone()).unwrap();
        let error = build(&config, "db", &json!({ "database": "secret:absent" }), given).unwrap_err();
        assert!(error.contains("names the secret `absent`") && error.contains("under `secrets`"), "{error}");
    }
}
