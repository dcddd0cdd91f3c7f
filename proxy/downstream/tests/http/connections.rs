//! Connections that are kept, replaced, bounded.

use crate::*;

#[tokio::test]
async fn the_pool_does_not_grow_beyond_what_runs_at_once() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..20 {
        let replies = join_all((0..4).map(|n| http.call(cx(), echo(&n.to_string())))).await;
        for reply in replies {
            one(reply).await;
        }
    }
    assert!(server.log.connections.load(Ordering::SeqCst) <= 4);
}

#[tokio::test]
async fn answers_in_events_keep_their_connection_too() {
    let server = Server::modern(|seen| {
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..20 {
        one(http.call(cx(), echo("x")).await).await;
        // The end of the stream is read on the side.
        server.log.wait_for_open(1).await;
        tokio::task::yield_now().await;
    }
    assert!(server.log.connections.load(Ordering::SeqCst) <= 5, "connections are thrown away");
}

#[tokio::test]
async fn connections_have_a_bound_and_an_end() {
    let server = Server::modern(|seen| match seen.body["params"]["arguments"]["text"].as_str() {
        Some("hang") => std::future::pending().boxed(),
        _ => ready(echoed(&seen)),
    })
    .await;
    let tight = HttpOptions {
        connections_max: 1,
        idle_timeout: Duration::from_millis(80),
        era: EraPin::Modern,
        ..options(server.address)
    };
    let http = HttpDownstream::new(tight).unwrap();
    let mut hanging = http.call(cx(), echo("hang"));
    assert!((&mut hanging).now_or_never().is_none());
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        _ = server.log.wait_for(|seen| seen.method() == "tools/call") => {}
    }
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Busy, Delivery::NotSent));
    drop(hanging);
    one(http.call(cx(), echo("x")).await).await;
    server.log.wait_for_open(0).await;
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_unseen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    // Answers one request on each connection, and closes it without saying so.
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            if read_request(&mut tcp).await {
                let id = count.fetch_add(1, Ordering::SeqCst) + 1;
                let body = format!(r#"{{"id":{id},"result":{id}}}"#);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                tcp.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        }
    });
    for n in 1..=10 {
        assert_eq!(one(http.call(cx(), echo("x")).await).await["result"], n);
        // Lets the end of the connection arrive; a request that crosses it is rightly not repeated.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn a_server_that_closes_after_reading_the_request_is_not_asked_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            read_request(&mut tcp).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun));
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

#[test]
fn connections_survive_neither_their_runtime_nor_are_they_needed_to() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = runtime();
    let server = servers.block_on(Server::modern(|seen| ready(echoed(&seen))));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || servers.block_on(stopped));
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..3 {
        let reply = runtime().block_on(async { one(http.call(cx(), echo("x")).await).await });
        assert_eq!(reply["result"]["text"], "x");
    }
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let http = http.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    for _ in 0..20 {
                        one(http.call(cx(), echo("x")).await).await;
                    }
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    drop(stop);
    let _ = thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_on_many_threads_get_their_own_answers() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let calls = (0..200).map(|n| {
        let http = http.clone();
        tokio::spawn(async move {
            let text = n.to_string();
            assert_eq!(one(http.call(cx(), echo(&text)).await).await["result"]["text"], text);
        })
    });
    for call in join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(http.health().in_flight, 0);
}
