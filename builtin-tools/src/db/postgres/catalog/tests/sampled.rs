//! The sample shop in PostgreSQL, its reader, and the statements that are measured.

use serde_json::json;

use super::place::{all_of, tell};
use crate::db::{
    postgres::{catalog, create_sample_shop_in_postgres, explorer_statements},
    sample::{Sample, SampleError},
    source::ListFilter,
};

#[tokio::test]
async fn shop_is_made_once_and_its_reader_has_no_findings() {
    tell(|place| async move {
        let (reader, url) = (place.role_name(), place.url(None).into());
        let make = async || create_sample_shop_in_postgres(&url, "shop", Some(&reader)).await.unwrap();
        assert_eq!(make().await, Sample::Created);
        place.run("DELETE FROM shop.order_items").await;
        assert_eq!(make().await, Sample::AlreadyThere);
        let session = place.session(&reader).await;
        let rules = all_of("shop");
        assert_eq!(catalog::probe(session.begin().await, &rules).await.unwrap(), []);
        session.end().await;
        let visible = session.visible(&rules).await;
        let list = session.list(&visible, &ListFilter::default()).await;
        let rows: Vec<_> = list.tables.iter().map(|line| (line.name.as_str(), line.rows)).collect();
        assert_eq!(
            rows,
            [("order_items", Some(105)), ("order_totals", None), ("orders", Some(42)), ("products", Some(24))]
        );
        let orders = session.describe(&visible, "orders").await.unwrap();
        assert_eq!(orders.columns[3].values, ["new", "paid", "shipped", "returned"]);
        assert_eq!(orders.referenced_by[0].table, "order_items");
        let analysis = session.analyze(&visible, "orders", &["id", "status"]).await.unwrap();
        assert_eq!((analysis.rows, &analysis.columns[0].max), (Some(42), &json!(42)));
        assert_eq!(analysis.columns[1].samples[0], "shipped");
        // What comes later may be read too.
        place.run("CREATE TABLE shop.later (id int)").await;
        assert!(session.visible(&rules).await.find("later").is_ok());
    })
    .await;
}

#[tokio::test]
async fn shop_in_a_schema_with_a_strange_name_is_whole() {
    tell(|place| async move {
        let name = "My shop.\"x\"; --";
        let made = create_sample_shop_in_postgres(&place.url(None).into(), name, None).await.unwrap();
        assert_eq!(made, Sample::Created);
        let tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = $1 AND c.relkind IN ('r', 'v')";
        let count: i64 = place.superuser().await.query_one(tables, &[&name]).await.unwrap().get(0);
        assert_eq!(count, 4);
    })
    .await;
}

#[tokio::test]
async fn failure_leaves_nothing_and_says_why_without_the_url() {
    tell(|place| async move {
        place.run("CREATE SCHEMA mine").await;
        let role = place.role("mine").await;
        let refused = create_sample_shop_in_postgres(&place.url(Some(&role)).into(), "shop", None).await.unwrap_err();
        assert!(matches!(&refused, SampleError::Schema(schema, _) if schema == "shop"), "{refused}");
        let nowhere = "postgres://someone:hunter2@127.0.0.1:1/none".into();
        let refused = create_sample_shop_in_postgres(&nowhere, "shop", None).await.unwrap_err();
        assert!(
            matches!(refused, SampleError::Unreachable(_)) && !refused.to_string().contains("hunter2"),
            "{refused}"
        );
    })
    .await;
}

#[tokio::test]
async fn statements_that_are_measured_run_as_they_are() {
    tell(|place| async move {
        let reader = place.role_name();
        create_sample_shop_in_postgres(&place.url(None).into(), "shop", Some(&reader)).await.unwrap();
        let session = place.session(&reader).await;
        for (tool, number) in [("list_tables", 1), ("describe_table", 4), ("analyze_table", 4)] {
            let statements = explorer_statements(tool, "shop", "orders").unwrap();
            assert_eq!(statements.len(), number, "{tool}");
            for statement in statements {
                let rows = session.client.query(statement.as_str(), &[]).await.unwrap();
                assert!(!rows.is_empty(), "{statement}");
            }
        }
        assert_eq!(explorer_statements("query_database", "shop", "orders"), None);
    })
    .await;
}
