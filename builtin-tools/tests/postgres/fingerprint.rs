//! Everything of a server that a statement could change, as names with checksums, so that what differs can be said.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use tokio_postgres::{Client, SimpleQueryMessage};

use super::cluster::Cluster;

/// Catalogs whose every row counts; what a role, a function, a table or a right is, is in one of them.
const CATALOGS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_language",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_namespace",
    "pg_operator",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_proc",
    "pg_publication",
    "pg_replication_origin",
    "pg_replication_slots",
    "pg_rewrite",
    "pg_seclabel",
    "pg_sequences",
    "pg_shdescription",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_tablespace",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_type",
    "pg_user_mapping",
];

/// What is none of a table's rows; each gives text. The number of the next transaction tells of everything that was written,
/// also if it was undone.
const REST: &[(&str, &str)] = &[
    ("next transaction", "pg_snapshot_xmax(pg_current_snapshot())"),
    ("configuration read at", "pg_conf_load_time()"),
    ("write-ahead log file", "pg_walfile_name(pg_current_wal_insert_lsn() + 1)"),
    ("notifications waiting", "pg_notification_queue_usage()"),
    ("statistics reset at", "(SELECT string_agg(stats_reset::text, ' ' ORDER BY datid) FROM pg_stat_database)"),
    (
        "locks",
        "(SELECT string_agg(l::text, ' ') FROM pg_locks l WHERE pid <> pg_backend_pid() AND locktype <> 'virtualxid')",
    ),
    (
        "sessions",
        "(SELECT string_agg(concat_ws('/', backend_type, datname, usename, application_name), ' ' ORDER BY backend_type, pid)
          FROM pg_stat_activity WHERE usename IS DISTINCT FROM 'reader')",
    ),
    ("settings", "(SELECT md5(string_agg(name || '=' || setting, ' ' ORDER BY name)) FROM pg_settings WHERE source <> 'session')"),
];

/// What must be so again at the end of a session's every statement; each gives text.
const SESSION: &[(&str, &str)] = &[
    ("prepared names", "(SELECT string_agg(name, ' ') FROM pg_prepared_statements WHERE from_sql)"),
    ("cursors", "(SELECT string_agg(name, ' ') FROM pg_cursors WHERE name <> '')"),
    ("channels", "(SELECT string_agg(c, ' ') FROM pg_listening_channels() c)"),
    ("settings", "(SELECT md5(string_agg(name || '=' || setting, ' ' ORDER BY name)) FROM pg_settings)"),
    ("user", "concat_ws('/', current_user, session_user, current_schemas(true))"),
    ("temporary schema", "pg_my_temp_schema()"),
    ("in a transaction", "statement_timestamp() <> now()"),
];

/// The state of a server, by the name of each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Looks at the whole server, and at the session of `used`.
    pub(crate) async fn take(cluster: &Cluster, watcher: &Client, used: &Client) -> Self {
        let mut all = Self::outside(cluster, watcher).await;
        all.0.extend(parts(used, "this session's", SESSION.iter().copied()).await);
        all
    }

    /// Looks at the whole server.
    pub(crate) async fn outside(cluster: &Cluster, watcher: &Client) -> Self {
        let tables = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n \
            ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND n.nspname <> 'pg_toast'";
        let users: Vec<String> = texts(watcher, tables).await.into_iter().map(Option::unwrap).collect();
        let relations = users.iter().map(String::as_str).chain(CATALOGS.iter().copied());
        let rows: Vec<(&str, String)> = relations
            .map(|name| (name, format!("(SELECT count(*) || ' ' || coalesce(md5(string_agg(r::text, '' ORDER BY r::text)), '') FROM {name} r)")))
            .collect();
        let mut all = parts(watcher, "the rows of", rows.iter().map(|(name, sql)| (*name, sql.as_str()))).await;
        all.extend(parts(watcher, "the", REST.iter().copied()).await);
        for (path, what) in files(cluster) {
            all.insert(format!("the file {}", path.display()), what);
        }
        all.insert("the processes".into(), processes(cluster.process()).join(" "));
        Self(all)
    }

    /// Each part that is not the same in `after`, in words.
    pub(crate) fn differences(&self, after: &Self) -> Vec<String> {
        let names = self.0.keys().chain(after.0.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .filter(|name| self.0.get(*name) != after.0.get(*name))
            .map(|name| {
                let [before, after] = [self, after].map(|one| one.0.get(name).map_or("absent", String::as_str));
                format!("{name}: {before} -> {after}")
            })
            .collect()
    }
}

async fn parts<'a>(
    client: &Client,
    of: &str,
    parts: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, String> {
    let (names, values): (Vec<_>, Vec<_>) = parts.map(|(name, sql)| (format!("{of} {name}"), sql)).unzip();
    let mut sql = String::from("SELECT unnest(ARRAY[");
    for (n, value) in values.iter().enumerate() {
        write!(sql, "{}({value})::text", if n == 0 { "" } else { ", " }).unwrap();
    }
    let values = texts(client, &(sql + "])")).await;
    names.into_iter().zip(values.into_iter().map(|value| value.unwrap_or_else(|| "none".into()))).collect()
}

/// The first column of a query's rows.
async fn texts(client: &Client, sql: &str) -> Vec<Option<String>> {
    let messages = client.simple_query(sql).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    rows.collect()
}

/// The scratch folder's files with what is in them, and the data folder's: of those that the server writes by itself only the
/// names, or nothing.
fn files(cluster: &Cluster) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    walk(&cluster.scratch(), &mut |path| {
        found.insert(path.to_owned(), format!("{:?}", fs::read(path).unwrap_or_default()));
    });
    let data = cluster.data();
    walk(&data, &mut |path| {
        let name = path.strip_prefix(&data).unwrap();
        let first = name.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let own =
            matches!(first.as_str(), "pg_stat_tmp" | "pg_stat" | "pg_wal" | "pg_subtrans" | "pg_xact" | "pg_logical");
        if own || path.ends_with("pg_internal.init") {
            return;
        }
        let only_name = matches!(first.as_str(), "base" | "global" | "postmaster.pid" | "pg_multixact" | "pg_notify");
        let what = if only_name { String::new() } else { changed(path) };
        found.insert(name.to_owned(), what);
    });
    found
}

fn walk(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { walk(&entry.path(), see) } else { see(&entry.path()) }
    }
}

fn changed(path: &Path) -> String {
    let about = fs::metadata(path).and_then(|about| Ok((about.len(), about.modified()?)));
    about.map_or_else(|error| error.to_string(), |(bytes, at)| format!("{bytes} {:?}", at.duration_since(UNIX_EPOCH)))
}

/// The names of the programs of all processes that come from `ancestor`, other than sessions of PostgreSQL itself.
fn processes(ancestor: u32) -> Vec<String> {
    let mut known = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // `number (name) state parent …`; the name may have parentheses itself.
        let Ok(about) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, tail)) = about.rsplit_once(')') else { continue };
        let parent = tail.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok());
        let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
        known.insert(number, (parent.unwrap_or_default(), name));
    }
    let descends = |mut number: u32| {
        // No chain of parents is longer.
        for _ in 0..32 {
            match known.get(&number) {
                Some((parent, _)) if *parent == ancestor => return true,
                Some((parent, _)) => number = *parent,
                None => return false,
            }
        }
        false
    };
    known
        .iter()
        .filter(|(n, (_, name))| name != "postgres" && descends(**n))
        .map(|(_, (_, name))| name.clone())
        .collect()
}
