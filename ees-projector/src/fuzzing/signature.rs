//! Signatures of webhooks.

use std::time::Duration;

use crate::reactor::webhook::signature::{NotSigned, sign, verify};

const SECRET: &str = "secret";
const TOLERANCE: Duration = Duration::from_secs(300);

/// A header is a signature of a body if and only if it has the signature that was made for it. The input: a place in the
/// signed header, what to write there and over how many bytes, and the body, with a byte 0xFF between them.
pub fn signature(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0xff);
    let mut part = || parts.next().and_then(|part| str::from_utf8(part).ok()).unwrap_or_default();
    let (at, over, written, body) = (part(), part(), part(), part());
    // A header of one's own.
    let refused = verify(SECRET, written, body.as_bytes(), TOLERANCE);
    assert!(refused.is_err(), "nobody has signed it");
    let secrets = ["other".to_owned(), SECRET.to_owned()];
    let Ok(header) = sign(&secrets, body) else { panic!("it can't be signed") };
    assert_eq!(verify(SECRET, &header, body.as_bytes(), TOLERANCE), Ok(()));
    assert_eq!(verify("third", &header, body.as_bytes(), TOLERANCE), Err(NotSigned::Wrong));
    let longer = format!("{body}\n");
    assert_eq!(verify(SECRET, &header, longer.as_bytes(), TOLERANCE), Err(NotSigned::Wrong));
    let at = at.parse::<usize>().unwrap_or(0).min(header.len());
    let end = at.saturating_add(over.parse().unwrap_or(0)).min(header.len());
    let mut changed = header.clone();
    changed.replace_range(at..end, written);
    if verify(SECRET, &changed, body.as_bytes(), TOLERANCE) == Ok(()) {
        let signature = |header: &str| header.rsplit(',').next().map(str::to_owned).unwrap_or_default();
        let kept = signature(&header);
        let is_kept = |part: &str| part.trim().eq_ignore_ascii_case(&kept);
        assert!(changed.split(',').any(is_kept), "{changed:?} was taken for {header:?}");
    }
}
