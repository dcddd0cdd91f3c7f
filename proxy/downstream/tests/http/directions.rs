//! Questions of servers, pings, streams that are taken up again.

use crate::*;

#[tokio::test]
async fn a_question_of_the_server_gets_its_answer_within_the_call() {
    let feed = Arc::new(Mutex::new(None));
    let asking = feed.clone();
    let (server, _) = Server::legacy(move |seen| {
        if seen.method() == "tools/call" {
            let (feed, reply) = events();
            feed.event(
                &json!({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "Sure?"}}),
            );
            *asking.lock().unwrap() = Some((feed, seen.id()));
            return ready(reply);
        }
        // The answer to the question.
        let (feed, id) = asking.lock().unwrap().take().unwrap();
        feed.event(&json!({"jsonrpc": "2.0", "id": id, "result": {"said": seen.body["result"]["action"]}}));
        ready(empty(202))
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    let Ok(Message::Request(question)) = stream.next().await else { panic!("no question") };
    assert!(question.message.windows(7).any(|word| word == b"Sure?\"}"));
    question.answer.answer(Bytes::from_static(br#""result":{"action":"accept"}"#)).await.unwrap();
    let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response") };
    assert_eq!(serde_json::from_slice::<Value>(&answer.head).unwrap()["result"]["said"], "accept");
    let answered = server.log.wait_for(|seen| seen.body["id"] == "q-1").await;
    assert_eq!(answered.body, json!({"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}}));
    assert_eq!(answered.header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn pings_are_answered_here_and_list_changes_become_events() {
    let feed = Arc::new(Mutex::new(None));
    let pinging = feed.clone();
    let (server, _) = Server::legacy(move |seen| {
        if seen.method() == "tools/call" {
            let (feed, reply) = events();
            feed.event(&json!([
                {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"},
                {"jsonrpc": "2.0", "id": 99, "method": "ping"},
            ]));
            *pinging.lock().unwrap() = Some((feed, seen.id()));
            return ready(reply);
        }
        let (feed, id) = pinging.lock().unwrap().take().unwrap();
        feed.event(&json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        ready(empty(202))
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut events = http.events();
    one(http.call(cx(), echo("x")).await).await;
    assert_eq!(events.recv().await.unwrap(), Event::ListChanged(List::Prompts));
    let pong = server.log.wait_for(|seen| seen.body["id"] == 99).await;
    assert_eq!(pong.body["result"], json!({}));
}

#[tokio::test]
async fn a_legacy_stream_that_breaks_is_taken_up_where_it_broke() {
    let asked = Arc::new(Mutex::new(0));
    let (server, sessions) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        match seen.header("last-event-id") {
            None => {
                *asked.lock().unwrap() = seen.id();
                feed.raw("id: e1\nretry: 60\ndata:\n\n");
            }
            Some("e1") => {
                feed.numbered("e2", &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
            }
            Some("e2") => feed.numbered("e3", &json!({"jsonrpc": "2.0", "id": *asked.lock().unwrap(), "result": {}})),
            Some(other) => panic!("{other}"),
        }
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    assert!(matches!(stream.next().await, Ok(Message::Notification(_))));
    assert!(matches!(stream.next().await, Ok(Message::Response(_))));
    assert_eq!((server.log.count("tools/call"), server.log.count("GET")), (1, 2));
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_is_broken() {
    let numbered = Arc::new(AtomicBool::new(false));
    let with_id = numbered.clone();
    let (server, sessions) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        if seen.method() == "tools/call" && with_id.load(Ordering::SeqCst) {
            feed.raw("id: e1\nretry: 1\ndata:\n\n");
        }
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = pinned(server.address, EraPin::Legacy);
    for (with_id, tries) in [(false, 0), (true, 3)] {
        numbered.store(with_id, Ordering::SeqCst);
        let error = match http.call(cx(), echo("x")).await {
            Ok(Reply::Stream(mut stream)) => stream.next().await.map(|_| ()).expect_err("it cannot be taken up"),
            reply => failed(reply),
        };
        assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun));
        assert_eq!(server.log.count("GET"), tries);
    }
}

#[tokio::test]
async fn a_server_that_lets_itself_be_polled_makes_a_stream_before_its_first_message() {
    let asked = Arc::new(Mutex::new(0));
    let (server, sessions) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        match seen.header("last-event-id") {
            None => {
                *asked.lock().unwrap() = seen.id();
                feed.raw("id: e1\nretry: 100\ndata:\n\n");
            }
            Some(_) => feed.numbered("e2", &json!({"jsonrpc": "2.0", "id": *asked.lock().unwrap(), "result": {}})),
        }
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    assert_eq!(server.log.count("GET"), 0, "it is known before the server is asked again");
    assert!(matches!(stream.next().await, Ok(Message::Response(_))));
    assert_eq!(server.log.count("GET"), 1);
}

#[tokio::test]
async fn a_server_that_answers_twice_is_heard_once() {
    let (server, _) = Server::legacy(|seen| {
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}));
        let answers = (0..3).map(|n| json!({"jsonrpc": "2.0", "id": seen.id(), "result": {"n": n}}));
        let answers = answers.map(|answer| format!("data: {answer}\n\n")).collect::<String>();
        feed.raw(format!("{answers}data: {}\n\n", json!({"jsonrpc": "2.0", "method": "notifications/progress"})));
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    assert!(matches!(stream.next().await, Ok(Message::Notification(_))));
    let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response") };
    assert_eq!(serde_json::from_slice::<Value>(&answer.head).unwrap()["result"]["n"], 0);
    assert_eq!(stream.next().await.map(|_| ()).unwrap_err().fault, Fault::Closed);
    assert_eq!(http.health().in_flight, 0);
}

#[tokio::test]
async fn a_flood_of_progress_keeps_nobody_else_on_the_thread_waiting() {
    const EVENTS: usize = 100_000;
    let (server, _) = Server::legacy(|seen| {
        if seen.body["params"]["arguments"]["text"] != "flood" {
            return ready(echoed(&seen));
        }
        let (feed, reply) = events();
        let tick = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
        let many = Bytes::from(format!("data: {tick}\n\n").repeat(EVENTS / 50));
        (0..50).for_each(|_| feed.raw(many.clone()));
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("flood")).await);
    let longest = AtomicUsize::new(0);
    let others = async {
        loop {
            let began = Instant::now();
            tokio::task::yield_now().await;
            longest.fetch_max(began.elapsed().as_millis() as usize, Ordering::Relaxed);
        }
    };
    let count = async {
        let mut count = 0;
        while let Message::Notification(_) = stream.next().await.unwrap() {
            count += 1;
        }
        count
    };
    tokio::select! {
        count = count => assert_eq!(count, EVENTS),
        () = others => unreachable!("it never ends"),
    }
    assert!(longest.load(Ordering::Relaxed) < 1000, "another task waited {longest:?} ms");
}
