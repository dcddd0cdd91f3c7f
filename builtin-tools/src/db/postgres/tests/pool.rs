//! The connections of a source: when there are none, when they break, and when too many want one.

use super::*;

#[tokio::test]
async fn server_that_is_away_is_unavailable_at_once_and_is_not_hammered() {
    // A port that nobody listens on.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = Given::of(json!({ "database": format!("postgres://reader@127.0.0.1:{port}/shop") }));
    let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else { panic!() };
    let source = PostgresSource::new(*settings).unwrap();
    let accepted = tokio::spawn(async move {
        let mut accepted = 0;
        while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::from_millis(700), listener.accept()).await {
            drop(stream);
            accepted += 1;
        }
        accepted
    });
    for _ in 0..20 {
        let told = refusal(&source, "SELECT 1").await;
        assert!(told.starts_with("UNAVAILABLE") && !told.contains("127.0.0.1"), "{told}");
    }
    assert_eq!(accepted.await.unwrap(), 1);
    let told = source.check().await.unwrap_err();
    assert!(told.contains("127.0.0.1"), "the operator is told where: {told}");
}

#[tokio::test]
async fn silent_server_does_not_outlast_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://reader@127.0.0.1:{port}/shop");
    let given = Given::of(json!({ "database": url, "timeout_ms": 200 }));
    let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else { panic!() };
    let source = PostgresSource::new(*settings).unwrap();
    let begun = Instant::now();
    let told = refusal(&source, "SELECT 1").await;
    assert!(told.starts_with("UNAVAILABLE") && begun.elapsed() < Duration::from_secs(5), "{told}");
    drop(listener);
}

#[tokio::test]
async fn wrong_role_and_missing_tls_are_told_to_the_operator_only() {
    tell(async |place: Arc<Place>| {
        let mut url = place.url();
        url.set_username("nobody_of_that_name").unwrap();
        let source = of(&url);
        let told = refusal(&source, "SELECT 1").await;
        assert!(told.starts_with("UNAVAILABLE") && !told.contains("nobody_of_that_name"), "{told}");
        let told = source.check().await.unwrap_err();
        assert!(told.contains("nobody_of_that_name") && !told.contains("hunter2"), "{told}");
        if place.ask::<String>("SHOW ssl").await == "off" {
            let mut url = place.url();
            url.set_query(Some("sslmode=require"));
            let told = of(&url).check().await.unwrap_err();
            assert!(told.contains("TLS"), "{told}");
        }
    })
    .await;
}

#[test]
fn file_without_a_certificate_is_an_error_of_its_option() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for path in [empty, folder.path().join("missing.pem")] {
        let given = Given::of(json!({ "database": "postgres://reader@db.example.com/shop", "ca_file": path }));
        let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else { panic!() };
        let told = PostgresSource::new(*settings).unwrap_err().to_string();
        assert!(told.contains("`ca_file`") && told.contains("PEM"), "{told}");
    }
}

fn of(url: &Url) -> PostgresSource {
    let secrets = [("url".to_owned(), url.as_str().into())].into();
    let given = Given { options: json!({ "database": "secret:url" }), secrets, ..Given::default() };
    let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else { panic!() };
    PostgresSource::new(*settings).unwrap()
}

#[tokio::test]
async fn full_house_is_refused_in_time_and_the_next_is_served() {
    tell(async |place: Arc<Place>| {
        let source = place.source(&[Layer::Judge], json!({ "connections_max": 1, "timeout_ms": 1500 }));
        let source = Arc::new(source);
        // What is known of the tables is known before the house is full.
        rows(&source, "SELECT 1").await;
        let ask = |sql: &'static str| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { query(&source, sql).await.map(drop) })
        };
        let sleeper = ask("SELECT pg_sleep(600)");
        wait_until("it runs", async || place.runs("pg_sleep(600)").await == 1).await;
        let waiting: Vec<_> = (0..28).map(|_| ask("SELECT 1")).collect();
        let mut at_once = false;
        while !at_once {
            let begun = Instant::now();
            let answer = ask("SELECT 1").await.unwrap();
            assert!(matches!(answer, Err(QueryError::Crowded)), "{answer:?}");
            at_once = begun.elapsed() < Duration::from_millis(500);
        }
        assert!(matches!(sleeper.await.unwrap(), Err(QueryError::Deadline(1500))));
        for waiter in waiting {
            let answer = waiter.await.unwrap();
            assert!(matches!(answer, Ok(()) | Err(QueryError::Crowded | QueryError::Deadline(_))), "{answer:?}");
        }
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn caller_with_little_time_left_does_not_close_the_source_to_others() {
    // A server that takes connections and says nothing, and a call that had to wait for its place.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://reader@127.0.0.1:{}/shop", listener.local_addr().unwrap().port());
    let given = Given::of(json!({ "database": url, "connections_max": 1 }));
    let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else { panic!() };
    let source = PostgresSource::new(*settings).unwrap();
    let pool = &source.pool;
    let (late, call_cx) = (Duration::from_millis(400), cx());
    let ended = Clock::run(late, &call_cx, async |clock: Arc<Clock>| {
        tokio::time::sleep(late.mul_f32(0.75)).await;
        pool.lease(&clock, 1000, false).await.map(drop)
    });
    assert!(matches!(ended.await, Err(QueryError::Crowded | QueryError::Deadline(_))));
    assert_eq!(pool.failure(), None);
    drop(listener);
}

#[tokio::test]
async fn there_are_never_more_connections_than_allowed() {
    tell(async |place: Arc<Place>| {
        let source = Arc::new(place.source(&[Layer::Judge], json!({ "connections_max": 3, "timeout_ms": 20000 })));
        let calls: Vec<_> = (0..25)
            .map(|number| {
                let source = Arc::clone(&source);
                tokio::spawn(async move {
                    // Some go in the middle of it.
                    let time = Duration::from_millis(if number % 3 == 0 { 5 } else { 20_000 });
                    tokio::time::timeout(time, query(&source, "SELECT pg_sleep(0.02)")).await.is_ok_and(|a| a.is_ok())
                })
            })
            .collect();
        let mut most = 0;
        let mut served = 0;
        for call in calls {
            most = most.max(place.connections().await);
            served += i32::from(call.await.unwrap());
        }
        assert!(most <= 3, "{most} connections");
        assert!(served >= 16, "{served} served");
    })
    .await;
}

#[tokio::test]
async fn connection_that_died_while_idle_is_replaced_without_a_word() {
    tell(async |place: Arc<Place>| {
        let source = place.open();
        for _ in 0..5 {
            rows(&source, "SELECT 1").await;
            wait_until("it is idle", async || place.running().await == 0).await;
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            assert!(place.ask::<i64>(kill).await >= 1);
            assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
        }
    })
    .await;
}

#[tokio::test]
async fn backend_that_is_killed_in_mid_query_is_an_error_of_its_call_alone() {
    tell(async |place: Arc<Place>| {
        let source = Arc::new(place.source(&[Layer::Judge], json!({ "timeout_ms": 60000 })));
        let call = tokio::spawn({
            let source = Arc::clone(&source);
            async move { refusal(&source, "SELECT pg_sleep(600)").await }
        });
        wait_until("it runs", async || place.runs("pg_sleep(600)").await == 1).await;
        place
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        let told = call.await.unwrap();
        assert!(told.starts_with("UNAVAILABLE"), "{told}");
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}
