//! The proof of the proof: each of these statements does something that the fingerprint has to see, so that "the same as before"
//! says something. What is run here is run by a superuser, and nobody asks the judge.

use crate::{
    cluster::{Cluster, connect},
    fingerprint::Fingerprint,
    rows::simple,
    shop::{self, DATABASE},
};

/// Statements, each with a part of the fingerprint that tells of it.
const DEEDS: &[(&str, &str)] = &[
    ("INSERT INTO app.vault VALUES ('evil')", "the rows of app.vault"),
    ("SELECT app.count_up()", "the next transaction"),
    ("UPDATE app.orders SET note = note", "the next transaction"),
    ("SELECT * FROM app.orders FOR UPDATE", "the next transaction"),
    ("SELECT app.count_up() / 0", "the next transaction"),
    ("SELECT txid_current()", "the next transaction"),
    ("SELECT pg_notify('evil', 'x')", "the next transaction"),
    ("SELECT nextval('app.ticket')", "the rows of pg_sequences"),
    ("SELECT setval('app.ticket', 900)", "the rows of pg_sequences"),
    ("SELECT lo_create(0)", "the rows of pg_largeobject_metadata"),
    ("SELECT lo_put(4242, 0, 'x')", "the rows of pg_largeobject"),
    ("SELECT lo_export(4242, '«scratch»/exported')", "the file «scratch»/exported"),
    ("COPY app.orders TO '«scratch»/copied'", "the file «scratch»/copied"),
    ("COPY (SELECT 1) TO PROGRAM 'cat > «scratch»/program'", "the file «scratch»/program"),
    ("SELECT pg_file_write('«scratch»/written', 'x', false)", "the file «scratch»/written"),
    ("SELECT * INTO app.evil FROM app.orders", "the rows of pg_class"),
    ("CREATE FUNCTION app.more() RETURNS int LANGUAGE sql AS 'SELECT 1'", "the rows of pg_proc"),
    ("CREATE ROLE evil SUPERUSER", "the rows of pg_authid"),
    ("GRANT canary_role TO reader", "the rows of pg_auth_members"),
    ("ALTER ROLE reader SET work_mem = '64kB'", "the rows of pg_db_role_setting"),
    ("ALTER SYSTEM SET work_mem = '64kB'", "the file postgresql.auto.conf"),
    ("CREATE DATABASE evil", "the rows of pg_database"),
    ("SELECT pg_create_physical_replication_slot('evil')", "the rows of pg_replication_slots"),
    ("BEGIN; CREATE TABLE app.later (x int); PREPARE TRANSACTION 'evil'", "the rows of pg_prepared_xacts"),
    ("SELECT pg_stat_reset()", "the statistics reset at"),
    ("SELECT pg_switch_wal()", "the write-ahead log file"),
    ("SELECT pg_advisory_lock(42)", "the locks"),
    ("SELECT ext.dblink_connect('x', '«connection»')", "the sessions"),
    ("SELECT set_config('work_mem', '64kB', false)", "this session's settings"),
    ("SET search_path = secret", "this session's user"),
    ("SET ROLE reader", "this session's user"),
    ("PREPARE evil AS SELECT 1", "this session's prepared names"),
    ("DECLARE evil CURSOR WITH HOLD FOR SELECT 1", "this session's cursors"),
    ("LISTEN evil", "this session's channels"),
    ("CREATE TEMP TABLE evil (x int)", "this session's temporary schema"),
    ("BEGIN", "this session's in a transaction"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fingerprint_stays_where_nothing_happens_and_tells_of_every_deed() {
    let Some(cluster) = Cluster::start().await else { return };
    let watcher = shop::create(&cluster).await;
    let scratch = cluster.scratch().to_str().unwrap().to_owned();
    let connection = cluster.connection(DATABASE);
    let written = |text: &str| text.replace("«scratch»", &scratch).replace("«connection»", &connection);
    let missing = shop::missing_extensions(&watcher).await;
    let deeds = DEEDS.iter().filter(|(sql, _)| !missing.iter().any(|word| sql.contains(word)));
    for (n, (sql, part)) in deeds.enumerate() {
        let session = connect(cluster.config("postgres", DATABASE).application_name("doer")).await;
        let before = Fingerprint::take(&cluster, &watcher, &session).await;
        if n == 0 {
            simple(&session, "SELECT * FROM app.orders o JOIN app.order_items i ON i.order_id = o.id", false).await;
            let after = Fingerprint::take(&cluster, &watcher, &session).await;
            assert_eq!(before.differences(&after), Vec::<String>::new(), "a query left something");
        }
        let outcome = simple(&session, &written(sql), false).await;
        let differences = before.differences(&Fingerprint::take(&cluster, &watcher, &session).await);
        let told = differences.iter().any(|difference| difference.starts_with(&written(part)));
        assert!(told, "not seen: {sql}\nit ended with {outcome:?}, and this was seen: {differences:#?}");
    }
}
