//! Servers that hang, stall, or are away for a while.

use crate::*;

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_deadline() {
    let server = Server::modern(|seen| {
        if seen.body["params"]["arguments"]["text"] == "stream" {
            let (feed, reply) = events();
            tokio::spawn(async move {
                feed.raw(": still here\n\n");
                feed.closed().await;
            });
            return ready(reply);
        }
        std::future::pending().boxed()
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for kind in ["silent", "stream"] {
        let began = Instant::now();
        let error =
            failed(http.call(CallCx { deadline: began + Duration::from_millis(150), ..cx() }, echo(kind)).await);
        assert_eq!((error.fault, error.delivery), (Fault::Timeout, Delivery::MayHaveRun));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    server.log.wait_for_open(0).await;
    assert_eq!((http.health().in_flight, http.health().state), (0, HealthState::Down));
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n{")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let deadline = Instant::now() + Duration::from_millis(200);
    let Ok(Reply::One(answer)) = http.call(CallCx { deadline, ..cx() }, echo("x")).await else { panic!("no answer") };
    assert_eq!(whole(answer).await.unwrap_err().fault, Fault::Timeout);
}

#[tokio::test]
async fn tls_that_stalls_is_a_server_that_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/mcp", listener.local_addr().unwrap().port());
    let mut net = loopback();
    net.allow_private.push("::1/128".parse().unwrap());
    let connect_timeout = Duration::from_millis(400);
    let options = HttpOptions { net, connect_timeout, ..HttpOptions::new(url.parse().unwrap()) };
    let http = HttpDownstream::new(options).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent), "{error}");
    drop(listener);
}

#[tokio::test]
async fn a_server_that_is_down_and_comes_up_is_used_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let http = pinned(address, EraPin::Modern);
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
    assert_eq!(http.health().state, HealthState::Down);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_request(&mut tcp).await;
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"id\":2,\"result\":1}";
        tcp.write_all(answer).await.unwrap();
    });
    assert_eq!(one(http.call(cx(), echo("x")).await).await["result"], 1);
    assert_eq!(http.health().state, HealthState::Up);
}

fn patient(by: u64, latest: u64) -> CallCx {
    let now = Instant::now();
    let (by, latest) = (Duration::from_millis(by), now + Duration::from_millis(latest));
    CallCx { deadline: now + by, extension: Some(Extension { by, latest }), ..cx() }
}

/// A server that says something every 60 ms, and answers after so many times.
async fn dripping() -> Server {
    Server::modern(|seen| {
        let (feed, reply) = events();
        let count: u32 = seen.body["params"]["arguments"]["text"].as_str().unwrap().parse().unwrap();
        tokio::spawn(async move {
            for _ in 0..count {
                tokio::time::sleep(Duration::from_millis(60)).await;
                feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
            }
            feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
        });
        ready(reply)
    })
    .await
}

async fn end(mut stream: Box<dyn MessageStream>) -> Result<Message, DownstreamError> {
    loop {
        match stream.next().await {
            Ok(Message::Notification(_)) => {}
            end => return end,
        }
    }
}

#[tokio::test]
async fn signs_of_life_move_the_deadline_and_its_bound_does_not() {
    let server = dripping().await;
    let http = pinned(server.address, EraPin::Modern);
    let reply = stream(http.call(patient(500, 20_000), echo("12")).await);
    assert!(matches!(end(reply).await, Ok(Message::Response(_))));
    let began = Instant::now();
    let reply = stream(http.call(patient(500, 700), echo("1000")).await);
    assert_eq!(end(reply).await.map(|_| ()).unwrap_err().fault, Fault::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(700));
    let mut reply = stream(http.call(patient(300, 300), echo("12")).await);
    reply.extend(Duration::from_secs(20));
    assert!(matches!(end(reply).await, Ok(Message::Response(_))), "a person's time goes beyond the bound");
}
