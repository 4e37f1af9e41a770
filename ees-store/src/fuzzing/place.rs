//! The keys of pages.

use crate::http::typed::page_key;
use crate::{StreamId, StreamListPlace, Timestamp, TypePosition};

/// The key of each place that a page may end at leads back there, and what leads anywhere is such a key.
pub fn place(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(place) = page_key::read(text) {
        assert_eq!(page_key::read(&page_key::of(&place)), Some(place));
    }
    if let Ok(place) = text.parse::<StreamListPlace>() {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
    let (number, id) = text.split_once(' ').unwrap_or(("0", text));
    let Ok(rank) = number.parse() else { return };
    let is_kept = id.len() <= 2_048 && !id.contains('\0');
    if let Ok(stream_id) = StreamId::adopted(id)
        && is_kept
    {
        let place = TypePosition { updated_at: Timestamp::from_micros(rank), stream_id };
        let key = page_key::of(&place);
        let escaped: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
        assert_eq!(escaped, key, "it needs no escapes");
        assert_eq!(page_key::read(&key), Some(place));
        let place = StreamListPlace { rank, stream_id: id.to_owned() };
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}
