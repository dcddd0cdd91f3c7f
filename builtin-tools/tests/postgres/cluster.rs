//! A PostgreSQL server of the proof's own, made and thrown away: only there are roles, locks, files, processes and the next
//! transaction's number nobody else's. Its programs are those of the server that `PATCHBAY_TEST_POSTGRES_URL` names.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio_postgres::{Client, Config, NoTls};

/// How long the server may take to come up.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server that ends with us, also when we are killed: then the other end of its guard's input is closed. SIGQUIT is
/// the immediate shutdown, in which the server still gives its shared memory back.
const GUARD: &str = r#""$0" "$@" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server"#;

/// Whom a server runs as when we are root, which PostgreSQL refuses.
type Owner = Option<(u32, u32)>;

/// A running server, ended when this is dropped.
pub(crate) struct Cluster {
    /// The guard of the server.
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// A fresh server, or `None` when there are no programs for one and none are required.
    pub(crate) async fn start() -> Option<Self> {
        let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
        let Ok(url) = env::var("PATCHBAY_TEST_POSTGRES_URL") else {
            assert!(
                !required,
                "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
            );
            eprintln!("skipped: PATCHBAY_TEST_POSTGRES_URL names no server");
            return None;
        };
        let model = connect(&url.parse().unwrap()).await;
        let row = model
            .query_one("SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'", &[])
            .await
            .unwrap();
        let (programs, data) = (PathBuf::from(row.get::<_, &str>(0)), PathBuf::from(row.get::<_, &str>(1)));
        let (true, Ok(data)) = (programs.join("initdb").is_file(), fs::metadata(&data)) else {
            assert!(!required, "expected the server of PATCHBAY_TEST_POSTGRES_URL to run on this machine, with initdb");
            eprintln!("skipped: the server's programs are not on this machine");
            return None;
        };
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        Some(Self::new(&programs, root.then_some((data.uid(), data.gid()))).await)
    }

    async fn new(programs: &Path, owner: Owner) -> Self {
        let folder = tempfile::Builder::new().prefix("patchbay-proof-").tempdir().unwrap();
        fs::create_dir(folder.path().join("scratch")).unwrap();
        if let Some((user, group)) = owner {
            for path in [folder.path().to_owned(), folder.path().join("scratch")] {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let mut initdb = command(&programs.join("initdb"), owner, folder.path());
        initdb.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
            "data",
        ]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = command(Path::new("sh"), owner, folder.path());
        postgres.args(["-c", GUARD]).arg(programs.join("postgres")).args(["-D", "data", "-p"]).arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "full_page_writes=off",
            // Nothing is to move but what a statement moves.
            "autovacuum=off",
            "checkpoint_timeout=1h",
            "max_wal_size=10GB",
            // So that slots and prepared transactions can be made.
            "wal_level=logical",
            "max_prepared_transactions=5",
            "logging_collector=off",
        ] {
            postgres.args(["-c", setting]);
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let server = postgres.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut cluster = Self { server, port, folder };
        cluster.wait().await;
        cluster
    }

    async fn wait(&mut self) {
        let end = Instant::now() + LIMIT;
        while self.config("postgres", "postgres").connect(NoTls).await.is_err() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.server.try_wait().unwrap().is_none(), "PostgreSQL did not start: {}", log());
            assert!(Instant::now() < end, "PostgreSQL took no connections: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn config(&self, user: &str, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).dbname(database);
        config
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// The folder that the server may write to, beside its data.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// The connection string of a superuser, as libpq reads it.
    pub(crate) fn connection(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's first process.
    pub(crate) fn process(&self) -> u32 {
        let about = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        about.lines().next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

fn command(program: &Path, owner: Owner, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("TZ", "UTC").env("LC_ALL", "C").env_remove("PGDATA");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group).env("HOME", "/");
    }
    command
}

/// A connection whose other half ends with it.
pub(crate) async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
