//! The pieces of a JSON line, appended to a buffer without going through a tree or a formatter. Only [`super`] calls it.

use std::{io::Write, net::IpAddr};

use super::TEXT_BYTES_MAX;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A number.
pub(super) fn number(line: &mut Vec<u8>, number: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A member whose value needs no escaping.
pub(super) fn plain(line: &mut Vec<u8>, key: &[u8], word: &str) {
    line.extend_from_slice(key);
    line.push(b'"');
    line.extend_from_slice(word.as_bytes());
    line.push(b'"');
}

/// A member whose value may be anything: cut to [`TEXT_BYTES_MAX`], escaped.
pub(super) fn text(line: &mut Vec<u8>, key: &[u8], text: &str) {
    short(line, key, text, TEXT_BYTES_MAX);
}

/// A member whose value may be anything: cut to so many bytes, escaped.
pub(super) fn short(line: &mut Vec<u8>, key: &[u8], text: &str, bytes_max: usize) {
    line.extend_from_slice(key);
    string(line, text, bytes_max);
}

/// A string of its own: cut to so many bytes, escaped.
pub(super) fn string(line: &mut Vec<u8>, text: &str, bytes_max: usize) {
    line.push(b'"');
    let cut = text.floor_char_boundary(bytes_max);
    escaped(line, &text.as_bytes()[..cut]);
    if cut < text.len() {
        line.extend_from_slice("…".as_bytes());
    }
    line.push(b'"');
}

fn escaped(line: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\' || *byte == 0x7f;
    let mut rest = text;
    while let Some(at) = rest.iter().position(special) {
        line.extend_from_slice(&rest[..at]);
        escape(line, rest[at]);
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
}

fn escape(line: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        _ => {
            let [high, low] = hex(byte);
            line.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

const fn hex(byte: u8) -> [u8; 2] {
    [HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]
}

/// A member that is bytes in hexadecimal digits.
pub(super) fn hex_text(line: &mut Vec<u8>, key: &[u8], bytes: &[u8]) {
    line.extend_from_slice(key);
    line.push(b'"');
    line.extend(bytes.iter().flat_map(|byte| hex(*byte)));
    line.push(b'"');
}

fn digits(bits: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        pair.copy_from_slice(&hex(byte));
    }
    digits
}

/// A member that is the id of a row: 32 digits.
pub(super) fn id(line: &mut Vec<u8>, key: &[u8], bits: u128) {
    line.extend_from_slice(key);
    line.push(b'"');
    line.extend_from_slice(&digits(bits));
    line.push(b'"');
}

/// A UUID with its dashes.
pub(super) fn uuid(line: &mut Vec<u8>, bits: u128) {
    let digits = digits(bits);
    for (index, group) in
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].iter().enumerate()
    {
        if index > 0 {
            line.push(b'-');
        }
        line.extend_from_slice(group);
    }
}

/// A member that is an address.
pub(super) fn ip(line: &mut Vec<u8>, key: &[u8], ip: IpAddr) {
    line.extend_from_slice(key);
    line.push(b'"');
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    line.push(b'.');
                }
                number(line, octet);
            }
        }
        IpAddr::V6(ip) => write!(line, "{ip}").expect("writing into memory does not fail"),
    }
    line.push(b'"');
}
