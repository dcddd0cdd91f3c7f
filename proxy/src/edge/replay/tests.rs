//! Streams that break, without sockets: who gets what, what is given up, and that nothing stays.

use std::{pin::Pin, time::Duration};

use futures_util::Stream as _;
use http_body_util::BodyExt;
use tokio::task::LocalSet;

use super::*;
use crate::auth::tests::house::House;

const OWNER: Owner = Owner { tenant: TenantId::from_bits(1), principal: [2; 16], session: [3; 16], primes: true };

fn request() -> Bytes {
    Bytes::from_static(b"7")
}

fn message(number: u64) -> Bytes {
    format!("{{\"n\":{number}}}").into()
}

/// The next event, which is there.
fn read(reader: &mut Reader) -> Option<String> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match Pin::new(reader).poll_next(&mut cx) {
        std::task::Poll::Ready(event) => event.map(|event| String::from_utf8(event.unwrap().to_vec()).unwrap()),
        std::task::Poll::Pending => panic!("nothing came"),
    }
}

fn is_waiting(reader: &mut Reader) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    Pin::new(reader).poll_next(&mut cx).is_pending()
}

fn id_of(event: &str) -> String {
    event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap_or_default().to_owned()
}

fn data_of(event: &str) -> &str {
    event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap()
}

/// The status and the text of what comes of an event's id.
async fn resumed(house: &House, owner: &Owner, id: &str) -> Result<(u16, String), GatewayError> {
    let reply = resume(&house.app, owner, id)?;
    let status = reply.status().as_u16();
    Ok((status, String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()))
}

fn again(house: &House, id: &str) -> Reader {
    let (token, Point::After(number)) = handle::parse(id).unwrap() else { panic!() };
    let handle = Handle::open(&house.app.sealer, &OWNER.bound(), token).unwrap();
    let stream = house.app.replays.streams.get(&handle.stream).unwrap().clone();
    Reader::again(&house.app, &stream, number, id).unwrap().0
}

/// Nothing is kept, nothing is counted, nobody is remembered.
fn assert_empty(house: &House) {
    let replays = &house.app.replays;
    assert_eq!((replays.streams.len(), replays.purses.len(), replays.bytes()), (0, 0, 0));
    assert_eq!(house.app.metrics.streams.get(), 0);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_the_rest_in_order_and_once() {
    let house = House::new().await;
    let local = LocalSet::new();
    let run = local.run_until(async {
        let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
        let priming = read(&mut reader).unwrap();
        assert!(priming.ends_with("\nretry: 2000\ndata: \n\n"), "{priming}");
        for number in 1..=3 {
            feed.message(message(number)).await;
        }
        let first = read(&mut reader).unwrap();
        assert_eq!(data_of(&first), "{\"n\":1}");
        drop(reader);
        feed.message(message(4)).await;
        let mut reader = again(&house, &id_of(&first));
        // It says at once where it is, since the client may lose this connection too.
        assert_eq!(id_of(&read(&mut reader).unwrap()), id_of(&first));
        for number in 2..=4 {
            assert_eq!(data_of(&read(&mut reader).unwrap()), format!("{{\"n\":{number}}}"));
        }
        assert!(is_waiting(&mut reader));
        feed.alive();
        assert_eq!(read(&mut reader).unwrap(), ": still working\n\n");
        feed.message(message(5)).await;
        assert_eq!(data_of(&read(&mut reader).unwrap()), "{\"n\":5}");
        feed.answered(&[Bytes::from_static(b"{\"id\":7}")]);
        let last = read(&mut reader).unwrap();
        assert_eq!(data_of(&last), "{\"id\":7}");
        assert_eq!(read(&mut reader), None);
        assert!(id_of(&last).ends_with(".end"));
        // Who has it all is told not to ask for more; who came from further back gets it again.
        assert_eq!(resumed(&house, &OWNER, &id_of(&last)).await.unwrap(), (405, String::new()));
        let (status, text) = resumed(&house, &OWNER, &id_of(&first)).await.unwrap();
        assert_eq!((status, text.matches("event: message").count()), (200, 5));
    });
    run.await;
    drop(local);
    let counts = &house.app.metrics.resumptions;
    assert_eq!((counts.given_up.get(), counts.lost.get(), counts.unknown.get()), (0, 0, 0));
    assert_empty(&house);
}

#[tokio::test]
async fn an_event_opens_nothing_for_anybody_else_and_nothing_once_it_was_changed() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            feed.message(message(1)).await;
            let unknown = async |owner: &Owner, id: &str| {
                let refused = resumed(&house, owner, id).await;
                assert!(matches!(refused, Err(GatewayError::UnknownEvent)), "{owner:?} {id}: {refused:?}");
            };
            for other in [
                Owner { tenant: TenantId::from_bits(9), ..OWNER },
                Owner { principal: [9; 16], ..OWNER },
                Owner { session: [9; 16], ..OWNER },
            ] {
                unknown(&other, &id).await;
                unknown(&other, &id.replace(".0", ".end")).await;
            }
            let mut flipped = id.clone();
            flipped.replace_range(40..41, if &id[40..41] == "A" { "B" } else { "A" });
            let future = id.replace(".0", ".2");
            for changed in
                [flipped.as_str(), &future, "p", "p.0", "p.end", "", &id[..id.len() - 2], &id.replace(".0", ".-1")]
            {
                unknown(&OWNER, changed).await;
            }
            let expired =
                Handle { home: house.app.replica.id.clone(), stream: [0; 16], expires_s: 1, request: request() };
            let token = expired.seal(&house.app.sealer, &OWNER.bound());
            unknown(&OWNER, &format!("p{token}.0")).await;
            // None of it disturbed who reads.
            assert_eq!(data_of(&read(&mut reader).unwrap()), "{\"n\":1}");
            feed.silent();
        })
        .await;
}

#[tokio::test]
async fn the_newer_reader_takes_the_place_of_the_older() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let (feed, mut older) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut older).unwrap());
            let mut newer = again(&house, &id);
            assert_eq!(read(&mut older), None);
            drop(older);
            read(&mut newer).unwrap();
            feed.message(message(1)).await;
            assert_eq!(data_of(&read(&mut newer).unwrap()), "{\"n\":1}");
            feed.silent();
        })
        .await;
}

#[tokio::test]
async fn a_call_waits_for_a_slow_reader_and_for_none_that_has_left() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            let writing = tokio::task::spawn_local(async move {
                for number in 1..=1000 {
                    feed.message(message(number)).await;
                }
                feed
            });
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(!writing.is_finished());
            assert_eq!(data_of(&read(&mut reader).unwrap()), "{\"n\":1}");
            drop(reader);
            let feed = writing.await.unwrap();
            // The oldest were given up, the newest were not, and the response never is.
            feed.answered(&[Bytes::from_static(b"{\"id\":7}")]);
            let (_, text) = resumed(&house, &OWNER, &id).await.unwrap();
            let numbers: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: {\"n\":")).collect();
            assert_eq!((numbers.len(), numbers[0], numbers[254]), (255, "746}", "1000}"));
            assert!(text.ends_with("data: {\"id\":7}\n\n"));
            // The first had been read.
            assert_eq!(house.app.metrics.resumptions.given_up.get(), 744);
        })
        .await;
}

#[tokio::test]
async fn a_long_response_is_kept_and_one_that_is_too_long_is_said_to_be_lost() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let long = |mib: usize| Bytes::from(vec![b'x'; mib << 20]);
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            drop(reader);
            feed.message(message(1)).await;
            feed.answered(&[long(4)]);
            let (status, text) = resumed(&house, &OWNER, &id).await.unwrap();
            assert_eq!((status, text.len() > 4 << 20, text.contains("\"n\"")), (200, true, false));

            // The first is still kept, so there is no room for such a second one.
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            drop(reader);
            feed.answered(&[long(6)]);
            let (status, text) = resumed(&house, &OWNER, &id).await.unwrap();
            assert_eq!(status, 200);
            assert!(
                text.contains(r#"data: {"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the answer is lost"#)
            );
            assert_eq!(resumed(&house, &OWNER, &id_of(&text)).await.unwrap().0, 405);

            // Who is there reads it all the same.
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            read(&mut reader).unwrap();
            feed.answered(&[long(6)]);
            assert!(read(&mut reader).unwrap().len() > 6 << 20);
            assert_eq!(read(&mut reader), None);
            assert!(house.app.replays.bytes() < 5 << 20);
        })
        .await;
    drop(local);
    assert_empty(&house);
}

#[tokio::test]
async fn one_who_keeps_too_much_gets_streams_without_ids_and_others_do_not() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let mut streams = Vec::new();
            while let Some(stream) = open(&house.app, &OWNER, &request()) {
                streams.push(stream);
                assert!(streams.len() <= 8192);
            }
            assert_eq!(streams.len(), 8192);
            assert!(open(&house.app, &OWNER, &request()).is_none());
            let other = Owner { principal: [8; 16], ..OWNER };
            assert!(open(&house.app, &other, &request()).is_some());
            streams.pop();
            assert!(open(&house.app, &OWNER, &request()).is_some());
        })
        .await;
    assert_empty(&house);
}

#[tokio::test]
async fn older_revisions_get_ids_on_messages_and_nothing_without_data() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let owner = Owner { primes: false, ..OWNER };
            let (feed, mut reader) = open(&house.app, &owner, &request()).unwrap();
            assert!(is_waiting(&mut reader));
            feed.message(message(1)).await;
            let event = read(&mut reader).unwrap();
            assert!(id_of(&event).ends_with(".1") && !event.contains("retry"), "{event}");
            feed.silent();
            assert_eq!(read(&mut reader), None);
            assert_eq!(resumed(&house, &owner, &id_of(&event)).await.unwrap().0, 405);
        })
        .await;
}

#[tokio::test]
async fn a_request_that_was_taken_back_ends_with_word_that_nothing_more_comes() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            feed.silent();
            let end = read(&mut reader).unwrap();
            assert!(end.ends_with(".end\ndata: \n\n"), "{end}");
            assert_eq!(read(&mut reader), None);
            for id in [id, id_of(&end)] {
                assert_eq!(resumed(&house, &OWNER, &id).await.unwrap().0, 405);
            }
            // Also when the call was dropped in the middle.
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            read(&mut reader).unwrap();
            drop(feed);
            read(&mut reader).unwrap();
            assert_eq!(read(&mut reader), None);
        })
        .await;
}

#[tokio::test]
async fn ended_streams_are_kept_for_a_while_and_then_nothing_is() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            tokio::time::pause();
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            let id = id_of(&read(&mut reader).unwrap());
            feed.answered(&[message(1)]);
            read(&mut reader).unwrap();
            assert_eq!(read(&mut reader), None);
            drop(reader);
            let left = open(&house.app, &OWNER, &request()).unwrap();
            drop(left.1);
            left.0.answered(&[message(2)]);
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!(house.app.replays.streams.len(), 2, "what was written may not have arrived");
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(house.app.replays.streams.len(), 1);
            tokio::time::sleep(Duration::from_secs(290)).await;
            assert_eq!(house.app.replays.streams.len(), 1);
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_empty(&house);
            let (status, text) = resumed(&house, &OWNER, &id).await.unwrap();
            assert!(status == 200 && text.contains("the answer is lost"), "{text}");
        })
        .await;
}

#[tokio::test]
async fn a_stream_of_another_replica_is_named_with_its_home() {
    let house = House::new().await;
    let handle = Handle {
        home: "0102030405060708 http://10.0.0.1:8080".into(),
        stream: [1; 16],
        expires_s: u32::MAX,
        request: request(),
    };
    let id = format!("p{}.4", handle.seal(&house.app.sealer, &OWNER.bound()));
    let home = elsewhere(&house.app, &OWNER, &id).unwrap();
    assert_eq!(home.id(), [1, 2, 3, 4, 5, 6, 7, 8]);
    // Nobody there can be asked: the answer is lost.
    assert_eq!(resume(&house.app, &OWNER, &id).unwrap().status().as_u16(), 200);
    // An id that is too long to be kept cannot be answered.
    let long = Handle { request: Bytes::from(vec![b'1'; 300]), ..handle };
    let id = format!("p{}.4", long.seal(&house.app.sealer, &OWNER.bound()));
    assert!(matches!(resume(&house.app, &OWNER, &id), Err(GatewayError::UnknownEvent)));
}

#[tokio::test]
async fn a_gateway_that_breaks_off_says_so_to_who_reads() {
    let house = House::new().await;
    let local = LocalSet::new();
    local
        .run_until(async {
            let (feed, mut reader) = open(&house.app, &OWNER, &request()).unwrap();
            read(&mut reader).unwrap();
            feed.message(message(1)).await;
            crate::edge::watch::break_thread();
            assert_eq!(data_of(&read(&mut reader).unwrap()), "{\"n\":1}");
            let said = read(&mut reader).unwrap();
            assert!(id_of(&said).ends_with(".end") && said.contains("stopping"), "{said}");
            assert_eq!(read(&mut reader), None);
            feed.silent();
        })
        .await;
}
