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
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun));
        assert_eq!(server.log.count("GET"), tries);
    }
}
