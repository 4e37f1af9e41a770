//! Bytes of an answer that keep something until they are written.

use bytes::Bytes;

struct Kept<G> {
    bytes: Bytes,
    _guard: G,
}

impl<G> AsRef<[u8]> for Kept<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the same bytes, which drop the guard once the last part of them is written.
pub(super) fn until_written<G: Send + 'static>(bytes: Bytes, guard: G) -> Bytes {
    Bytes::from_owner(Kept { bytes, _guard: guard })
}
