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
