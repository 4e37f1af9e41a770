//! Where a page ended, as a text that needs no escapes in a URL.

use crate::{StreamId, Timestamp, TypePosition};

/// The key of a place.
pub(crate) fn of(TypePosition { updated_at, stream_id }: &TypePosition) -> String {
    format!("{}.{}", updated_at.as_micros(), hex::encode(stream_id.as_str()))
}

/// The longest id that another system can have given: the longest key of a DynamoDB table.
const ADOPTED_BYTES_MAX: usize = 2_048;

/// The place of a key, if it is one.
pub(crate) fn read(key: &str) -> Option<TypePosition> {
    let (micros, hex) = key.split_once('.')?;
    let stream_id = String::from_utf8(hex::decode(hex).ok()?).ok()?;
    // A page may end at a stream that this contract does not show, such as one whose id another system gave. Not every
    // store has a NUL in its texts.
    if stream_id.len() > ADOPTED_BYTES_MAX || stream_id.contains('\0') {
        return None;
    }
    Some(TypePosition {
        updated_at: Timestamp::from_micros(micros.parse().ok()?),
        stream_id: StreamId::adopted(&stream_id).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_needs_no_escapes() {
        for (micros, id) in [
            (1_795_253_400_000_001, "9f86d081-884c-7d65-9a2f-eaa0c55ad015"),
            (-1, "a/ä"),
            (2, "a\nb"),
            (3, ".."),
        ] {
            let stream_id = StreamId::adopted(id).unwrap();
            let place = TypePosition { updated_at: Timestamp::from_micros(micros), stream_id };
            let key = of(&place);
            assert!(key.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it)), "{key}");
            assert_eq!(read(&key), Some(place));
        }
        for bad in ["", "x", "1.", "1.6", "1.zz", ".61", "1.ff", "a.61", "1.00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
