//! Bodies as a row or an item holds them, which another system or a broken disk may have written.

use super::parts;
use super::reference_json::{self, Refused, Value};
use crate::lenient_numbers;
use crate::quarantine::StoredBody;

/// A body is read if and only if it is JSON with as many events as it should have; otherwise it is kept as it is. A
/// checksum finds each change of it. The input: a count, events and metadata, with a byte 0xFF between them.
pub fn stored_body(data: &[u8]) {
    let [count, events, metadata] = parts(data);
    let count = u64::from(count.first().copied().unwrap_or(0) % 8);
    let body = StoredBody { events, metadata, count };
    let (read, readable_metadata) = body.read();
    assert_eq!(read.count(), count);
    match (json(events), json(metadata)) {
        (Ok((list, events)), Ok((_, metadata))) => {
            let found = if let Value::List(list) = &list { list.len() as u64 } else { count };
            assert_eq!(read.quarantined().is_none(), found == count, "{read:?}");
            if found == count {
                assert_eq!((read.as_stored(), readable_metadata.as_str()), (&*events, &*metadata));
            }
        }
        (Err(Refused::TooDeep), _) | (_, Err(Refused::TooDeep)) => {}
        _ => {
            let Some(quarantined) = read.quarantined() else { panic!("it is no JSON, and was read") };
            let kept = [quarantined.events(), quarantined.metadata()];
            assert_eq!(kept, [events, metadata].map(String::from_utf8_lossy));
        }
    }
    if let Some(checksum) = body.own_checksum(b"a") {
        assert_eq!(body.read_checked("a", Some(checksum)), (read, readable_metadata));
        assert!(body.read_checked("b", Some(checksum)).0.quarantined().is_some_and(|it| it.has_changed()));
        each_change_is_found(&body, checksum);
    }
    if let Ok(text) = str::from_utf8(events) {
        numbers_that_are_none(text);
    }
}

fn json(text: &[u8]) -> Result<(Value, String), Refused> {
    str::from_utf8(text).map_err(|_| Refused::NotJson).and_then(reference_json::read)
}

fn each_change_is_found(body: &StoredBody<'_>, checksum: i64) {
    let step = (body.events.len() * 8 / 50).max(1);
    for bit in (0..body.events.len() * 8).step_by(step) {
        let mut flipped = body.events.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (read, _) = StoredBody { events: &flipped, ..*body }.read_checked("a", Some(checksum));
        assert!(read.quarantined().is_some_and(|it| it.has_changed()), "the flipped bit {bit} was not found");
    }
}

/// Read in the lenient way, JSON stays as it is, and what becomes JSON has lost nothing but the bare words.
fn numbers_that_are_none(text: &str) {
    let lenient = lenient_numbers::json(text);
    match (reference_json::read(text), lenient) {
        (Ok((_, compact)), lenient) => assert_eq!(lenient.map(|json| json.to_string()), Some(compact)),
        (Err(Refused::NotJson), Some(json)) => {
            let without = |text: &str| text.replace(['"', ' ', '\t', '\n', '\r'], "");
            assert_eq!(without(json.as_str()), without(text));
        }
        _ => {}
    }
}
