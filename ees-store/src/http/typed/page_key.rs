//! Where a page ended, as a text that needs no escapes in a URL.

use crate::{StreamId, Timestamp, TypePosition};

/// The key of a place.
pub(super) fn of(TypePosition { updated_at, stream_id }: &TypePosition) -> String {
    format!("{}.{}", updated_at.as_micros(), hex::encode(stream_id.as_str()))
}

/// The place of a key, if it is one.
pub(super) fn read(key: &str) -> Option<TypePosition> {
    let (micros, hex) = key.split_once('.')?;
    let stream_id = String::from_utf8(hex::decode(hex).ok()?).ok()?;
    Some(TypePosition {
        updated_at: Timestamp::from_micros(micros.parse().ok()?),
        stream_id: StreamId::new(&stream_id).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_needs_no_escapes() {
        for (micros, id) in [(1_795_253_400_000_001, "9f86d081-884c-7d65-9a2f-eaa0c55ad015"), (-1, "a/ä")] {
            let place =
                TypePosition { updated_at: Timestamp::from_micros(micros), stream_id: id.parse().unwrap() };
            let key = of(&place);
            assert!(key.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it)), "{key}");
            assert_eq!(read(&key), Some(place));
        }
        for bad in ["", "x", "1.", "1.6", "1.zz", ".61", "1.ff", "a.61", "1.0a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
