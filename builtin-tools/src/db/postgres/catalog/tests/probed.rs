//! The probe: one role for each finding, and one that has none.

use std::{collections::BTreeSet, sync::Arc};

use super::place::{Place, all_of, rules, tell};
use crate::db::postgres::catalog::{self, Finding, TableRules, role_sql};

const SHOP: &str = "CREATE SCHEMA s; CREATE TABLE s.t (id serial, label text); CREATE TABLE s.u (id int);
    CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.log (id int, note text);";

async fn findings(place: &Place, role: &str, rules: &TableRules) -> Vec<Finding> {
    let session = place.session(role).await;
    let found = catalog::probe(session.begin().await, rules).await.unwrap();
    session.end().await;
    found
}

async fn names(place: &Place, role: &str, rules: &TableRules) -> Vec<&'static str> {
    findings(place, role, rules).await.into_iter().map(|finding| finding.name).collect()
}

/// A role that is clean, then gets something, which is found; then what the finding says is run, and it is clean again.
async fn found(place: &Arc<Place>, give: &str, name: &'static str) -> String {
    let role = place.reader("s").await;
    assert!(names(place, &role, &all_of("s")).await.is_empty());
    place.run(&give.replace("{role}", &role).replace("{database}", place.database())).await;
    let mut found = findings(place, &role, &all_of("s")).await;
    assert_eq!(found.iter().map(|finding| finding.name).collect::<Vec<_>>(), [name], "{give}: {found:?}");
    let sentence = found.remove(0).sentence;
    let undo = sentence.split_once("whoever may: ").unwrap().1;
    let undo = undo.split_inclusive(';').filter(|part| !part.contains('…')).collect::<String>();
    let undo = undo.replace("another_role", "CURRENT_USER");
    place.run(undo.rsplit_once(';').unwrap().0).await;
    assert!(names(place, &role, &all_of("s")).await.is_empty(), "{give}: {undo}");
    sentence
}

#[tokio::test]
async fn superuser_is_found_and_nothing_more_is_said_of_it() {
    tell(|place| async move {
        place.run(SHOP).await;
        let role = place.role("s").await;
        place.run(&format!("ALTER ROLE {role} SUPERUSER CREATEDB")).await;
        assert_eq!(names(&place, &role, &all_of("s")).await, ["superuser"]);
        place.run(&format!("ALTER ROLE {role} NOSUPERUSER NOCREATEDB")).await;
        assert!(names(&place, &role, &all_of("s")).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn each_attribute_and_membership_is_found_and_can_be_undone_as_it_says() {
    tell(|place| async move {
        place.run(SHOP).await;
        for (attribute, name) in [
            ("BYPASSRLS", "bypass-rls"),
            ("CREATEROLE", "create-role"),
            ("CREATEDB", "create-db"),
            ("REPLICATION", "replication"),
        ] {
            let sentence = found(&place, &format!("ALTER ROLE {{role}} {attribute}"), name).await;
            assert!(sentence.contains(&format!("NO{attribute}")), "{sentence}");
        }
        let group = place.role_name();
        place.run(&format!("CREATE ROLE {group}")).await;
        found(&place, &format!("GRANT {group} TO {{role}}"), "member-of-role").await;
        found(&place, "GRANT pg_read_server_files TO {role}", "server-file-roles").await;
        // Also where a role is between.
        place.run(&format!("GRANT pg_execute_server_program TO {group}")).await;
        found(&place, &format!("GRANT {group} TO {{role}}"), "server-file-roles").await;
    })
    .await;
}

#[tokio::test]
async fn each_right_beyond_reading_is_found_and_can_be_undone_as_it_says() {
    tell(|place| async move {
        place.run(SHOP).await;
        let sentence = found(&place, "GRANT INSERT, UPDATE ON s.t TO {role}", "write-right").await;
        assert!(sentence.contains("INSERT, UPDATE on s.t"), "{sentence}");
        for give in [
            "GRANT DELETE ON elsewhere.log TO {role}",
            "GRANT UPDATE (note) ON elsewhere.log TO {role}",
            "GRANT TRIGGER ON s.u TO {role}",
            "GRANT TRUNCATE ON s.u TO PUBLIC",
            "GRANT USAGE ON SEQUENCE s.t_id_seq TO {role}",
        ] {
            found(&place, give, "write-right").await;
        }
        found(&place, "ALTER TABLE s.u OWNER TO {role}", "table-owner").await;
        found(&place, "GRANT CREATE ON SCHEMA s TO {role}", "create-right").await;
        found(&place, "GRANT CREATE ON SCHEMA elsewhere TO PUBLIC", "create-right").await;
        found(&place, "GRANT CREATE ON DATABASE {database} TO {role}", "create-right").await;
        found(&place, "ALTER SCHEMA elsewhere OWNER TO {role}", "create-right").await;
        let sentence = found(&place, "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "temp-right").await;
        assert!(sentence.contains("FROM PUBLIC;"), "{sentence}");
        found(&place, "GRANT TEMPORARY ON DATABASE {database} TO {role}", "temp-right").await;
        place.run("CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw").await;
        found(&place, "GRANT USAGE ON FOREIGN SERVER far TO {role}", "foreign-server").await;
        found(&place, "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO {role}", "foreign-server").await;
    })
    .await;
}

#[tokio::test]
async fn right_that_comes_by_a_role_is_found_with_the_membership() {
    tell(|place| async move {
        place.run(SHOP).await;
        let (role, group) = (place.reader("s").await, place.role_name());
        place.run(&format!("CREATE ROLE {group}; GRANT INSERT ON s.t TO {group}; GRANT {group} TO {role}")).await;
        assert_eq!(names(&place, &role, &all_of("s")).await, ["member-of-role", "write-right"]);
    })
    .await;
}

#[tokio::test]
async fn functions_that_reach_out_or_act_for_another_are_found() {
    tell(|place| async move {
        place.run(SHOP).await;
        let sentence = found(
            &place,
            "CREATE FUNCTION s.as_owner(x int, y text) RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
            "security-definer-function",
        )
        .await;
        assert!(sentence.contains("s.as_owner(x integer, y text)") || sentence.contains("ROUTINE s.as_owner"), "{sentence}");
        // A trigger function cannot be called.
        place
            .run(
                "CREATE FUNCTION s.fired() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            )
            .await;
        found(&place, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {role}", "reach-function").await;
        found(&place, "GRANT EXECUTE ON FUNCTION pg_catalog.lo_import(text) TO PUBLIC", "reach-function").await;
        let role = place.reader("s").await;
        place.run("CREATE LANGUAGE anything HANDLER plpgsql_call_handler").await;
        place.run("CREATE FUNCTION s.odd() RETURNS int LANGUAGE anything AS 'BEGIN RETURN 1; END'").await;
        assert_eq!(names(&place, &role, &all_of("s")).await, ["reach-function"]);
        place.run("DROP FUNCTION s.odd()").await;
        place.run("CREATE EXTENSION dblink SCHEMA elsewhere").await;
        let all = findings(&place, &role, &all_of("s")).await;
        assert_eq!(all.len(), 1);
        assert!(all[0].sentence.contains("elsewhere.dblink") && all[0].sentence.contains(" more."), "{}", all[0].sentence);
    })
    .await;
}

#[tokio::test]
async fn insert_is_no_finding_where_the_rules_open_it_and_nothing_else_is() {
    tell(|place| async move {
        place.run(SHOP).await;
        let role = place.reader("s").await;
        place.run(&format!("GRANT INSERT ON s.t TO {role}; GRANT USAGE ON SEQUENCE s.t_id_seq TO {role}")).await;
        let open = rules(&["s"], None, &["t"]).unwrap();
        assert!(names(&place, &role, &open).await.is_empty());
        assert_eq!(names(&place, &role, &all_of("s")).await, ["write-right"]);
        place.run(&format!("GRANT UPDATE ON s.t TO {role}")).await;
        let found = findings(&place, &role, &open).await;
        assert!(found[0].sentence.contains("UPDATE on s.t") && !found[0].sentence.contains("INSERT"), "{found:?}");
        place.run(&format!("REVOKE UPDATE ON s.t FROM {role}; GRANT UPDATE ON SEQUENCE s.t_id_seq TO {role}")).await;
        assert_eq!(names(&place, &role, &open).await, ["write-right"], "setval is not adding a row");
        place
            .run(&format!("REVOKE UPDATE ON SEQUENCE s.t_id_seq FROM {role}; GRANT INSERT ON elsewhere.log TO {role}"))
            .await;
        assert_eq!(names(&place, &role, &open).await, ["write-right"]);
    })
    .await;
}

#[tokio::test]
async fn only_findings_that_nobody_accepted_refuse() {
    tell(|place| async move {
        place.run(SHOP).await;
        let role = place.reader("s").await;
        place.run(&format!("GRANT DELETE ON s.u TO {role}; ALTER ROLE {role} CREATEDB")).await;
        let found = findings(&place, &role, &all_of("s")).await;
        let left = catalog::unaccepted(found.clone(), &BTreeSet::from(["create-db".to_owned()]));
        assert_eq!(left.iter().map(|finding| finding.name).collect::<Vec<_>>(), ["write-right"]);
        let both = BTreeSet::from(["create-db".to_owned(), "write-right".to_owned()]);
        assert!(catalog::unaccepted(found, &both).is_empty());
    })
    .await;
}

#[tokio::test]
async fn role_made_by_our_sql_has_no_findings_and_reads_what_it_should() {
    tell(|place| async move {
        place.run(SHOP).await;
        place
            .run("CREATE SCHEMA \"O'dd\"; CREATE TABLE \"O'dd\".\"o_1\" (x int); CREATE TABLE \"O'dd\".\"p_1\" (x int)")
            .await;
        place
            .run(&format!(
                "GRANT TEMPORARY ON DATABASE {} TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC",
                place.database()
            ))
            .await;
        let owned = super::place::owned;
        for (schemas, tables, inserts, expected) in [
            (owned(&["s"]), None, owned(&[]), vec!["t", "u"]),
            (owned(&["s"]), Some(owned(&["t"])), owned(&["t"]), vec!["t"]),
            (
                owned(&["s", "O'dd"]),
                Some(owned(&["s.t", "O'dd.o*", "{u,x}"])),
                owned(&["s.t"]),
                vec!["O'dd.o_1", "s.t", "s.u"],
            ),
        ] {
            let role = place.role_name();
            let sql = role_sql(&role, &schemas, tables.as_deref(), &inserts);
            place.run(&sql).await;
            place.run(&sql).await;
            let rules = TableRules::new(&schemas, tables.as_deref(), &inserts).unwrap();
            assert_eq!(findings(&place, &role, &rules).await, [], "{sql}");
            let session = place.session(&role).await;
            assert_eq!(session.visible(&rules).await.names(), expected, "{sql}");
            for table in &expected {
                session.analyze(&session.visible(&rules).await, table, &[]).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rules_that_meet_no_table_are_told() {
    tell(|place| async move {
        place.run(SHOP).await;
        let role = place.reader("s").await;
        let visible = place.session(&role).await.visible(&rules(&["s"], Some(&["t", "tt"]), &["nope"]).unwrap()).await;
        assert_eq!(visible.unmet(), ["tt", "nope"]);
    })
    .await;
}
