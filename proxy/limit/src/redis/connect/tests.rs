//! URLs are read or refused, and nothing tells what stood in them.

use super::*;

fn parse(url: &str) -> Result<Target, RedisUrlError> {
    Target::parse(&SecretString::from(url.to_owned()))
}

#[test]
fn urls_are_read() {
    let plain = parse("redis://user:pass%21@redis.example.org:6380/3").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((&*plain.host, plain.port), ("redis.example.org", 6380));
    assert!(plain.tls.is_none());
    assert_eq!((plain.redis.username(), plain.redis.password(), plain.redis.db()), (Some("user"), Some("pass!"), 3));
    let tls = parse("rediss://:secret@redis.example.org").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tls.port, 6379);
    assert!(tls.tls.is_some());
    assert!(parse("rediss://[::1]:6380").is_ok());
}

#[test]
fn other_urls_are_refused_without_a_word_of_them() {
    for url in [
        "",
        "hunter2",
        "http://hunter2@redis.example.org",
        "redis://",
        "redis://:hunter2@host/database",
        "redis+unix:///hunter2.sock",
        "rediss://:hunter2@redis.example.org/#insecure",
    ] {
        let error = parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn tls_is_made_with_ring_and_the_roots_of_this_machine() {
    assert!(build().is_ok());
}
