//! Headers: traces, idempotency keys, hosts.

use axum::http::uri::Authority;

use crate::http::hosts::Hosts;
use crate::{IdempotencyKey, StreamId, StreamType, TraceContext};

/// A trace is read from headers that say it, and comes back from where it is kept, and from where it is sent. The
/// input: `traceparent`, a line break, `tracestate`.
pub fn trace(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(trace) = TraceContext::from_xray(text) {
        comes_back(&trace);
        assert!(trace.sampled());
    }
    let (traceparent, tracestate) =
        text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let Some(trace) = TraceContext::from_headers(traceparent, tracestate) else {
        let known = traceparent.trim_matches([' ', '\t']);
        let is_valid = known.len() == 55 && known.starts_with("00-") && known.parse_fields().is_some();
        assert!(!is_valid, "a valid trace was not read");
        return;
    };
    comes_back(&trace);
    assert!(traceparent.contains(trace.trace_id()) && traceparent.contains(trace.parent_id()));
    if let Some(kept) = trace.tracestate() {
        assert!(tracestate.is_some_and(|given| given.trim_matches([' ', '\t']) == kept));
    }
}

trait Fields {
    /// The fields of a `traceparent`, as the standard writes them.
    fn parse_fields(&self) -> Option<()>;
}

impl Fields for str {
    fn parse_fields(&self) -> Option<()> {
        let fields: Vec<&str> = self.split('-').collect();
        let lengths: Vec<usize> = fields.iter().map(|field| field.len()).collect();
        let is_hex = |field: &&str| field.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let is_some = |field: &str| field.bytes().any(|it| it != b'0');
        let is_valid = lengths == [2, 32, 16, 2] && fields.iter().all(is_hex);
        (is_valid && is_some(fields[1]) && is_some(fields[2])).then_some(())
    }
}

fn comes_back(trace: &TraceContext) {
    assert!(trace.as_stored().len() <= TraceContext::STORED_MAX);
    assert!(trace.as_stored().bytes().all(|byte| byte == b'\t' || matches!(byte, b' '..=b'~')));
    assert!(trace.traceparent().parse_fields().is_some(), "{trace:?}");
    assert_eq!(TraceContext::from_stored(trace.as_stored()).as_ref(), Some(trace));
    assert_eq!(TraceContext::from_headers(trace.traceparent(), trace.tracestate()).as_ref(), Some(trace));
}

/// Names keep their rules, and a host that is taken for this machine is one by the standard, too.
pub fn name(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let is_key = (1..=255).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    assert_eq!(IdempotencyKey::new(text).is_ok(), is_key);
    let is_printable = !text.is_empty() && !text.chars().any(char::is_control);
    assert_eq!(StreamType::new(text).is_ok(), is_printable && text.len() <= 255);
    let is_reserved = text.starts_with("!!!RESERVED:");
    let is_id = is_printable && text.len() <= 1_024 && ![".", ".."].contains(&text) && !is_reserved;
    assert_eq!(StreamId::new(text).is_ok(), is_id);
    assert_eq!(StreamId::adopted(text).is_ok(), !text.is_empty() && !is_reserved);
    host(text);
}

fn host(text: &str) {
    let Ok(authority) = text.parse::<Authority>() else { return };
    if Hosts::Loopback.includes(text) {
        let host = authority.host().trim_matches(['[', ']']);
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_here = is_address || name == "localhost" || name.ends_with(".localhost");
        assert!(is_here, "{text:?} names {host:?}, and was taken for this machine");
    }
}
