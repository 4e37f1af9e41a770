//! Which trace a commit belongs to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// The trace that a commit belongs to, as in the headers `traceparent` and `tracestate` of [W3C Trace Context].
///
/// A store keeps it beside the changeset, never in its metadata. It says nothing about what happened, so that
/// neither the size limit, nor the checksum, nor the comparison under an idempotency key looks at it: a repeated
/// commit keeps the trace of the first.
///
/// ```
/// use ees_store::{Commit, EventStore, Events, Expectation, StreamQuery, TraceContext, memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::from_headers(traceparent, Some("vendor=1")).ok_or("no trace")?;
/// assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!(trace.sampled());
///
/// let store = memory::Store::new();
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened).with_trace(trace)).await?;
/// let account = store.read_stream(StreamQuery::all("account/42".parse()?)).await?;
/// let trace = account.changesets[0].trace.as_ref().ok_or("it is kept")?;
/// assert_eq!((trace.traceparent(), trace.tracestate()), (traceparent, Some("vendor=1")));
/// # Ok(())
/// # }
/// ```
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext(
    /// As stores keep it: `traceparent`, and after a space `tracestate`. Behind one pointer, so that a
    /// changeset without a trace has to keep no more than that.
    Arc<String>,
);

impl TraceContext {
    /// The maximum length of `tracestate`, in characters.
    pub const TRACESTATE_MAX: usize = 512;
    /// The maximum length of [`as_stored`](Self::as_stored), in bytes.
    pub const STORED_MAX: usize = TRACEPARENT_LENGTH + 1 + Self::TRACESTATE_MAX;

    /// Reads the two headers. `None` if `traceparent` is invalid: the standard wants it ignored. An invalid
    /// `tracestate`, or one that is too long, is left out.
    ///
    /// A `traceparent` of a later version of the standard is kept as one of version 00.
    pub fn from_headers(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut text = valid_traceparent(traceparent.trim_matches(BLANKS))?;
        if let Some(tracestate) = tracestate.map(|it| it.trim_matches(BLANKS))
            && is_tracestate(tracestate)
        {
            text.push(' ');
            text.push_str(tracestate);
        }
        Some(Self(Arc::new(text)))
    }

    /// Reads what [`as_stored`](Self::as_stored) returned.
    pub fn from_stored(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some((traceparent, tracestate)) => Self::from_headers(traceparent, Some(tracestate)),
            None => Self::from_headers(text, None),
        }
    }

    /// Both headers in one text, for a store to keep: `traceparent`, and after a space `tracestate`, if there
    /// is one.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// The header `traceparent`: 55 characters.
    pub fn traceparent(&self) -> &str {
        &self.0[..TRACEPARENT_LENGTH]
    }

    /// The header `tracestate`, if there is a valid one.
    pub fn tracestate(&self) -> Option<&str> {
        self.0.get(TRACEPARENT_LENGTH + 1..)
    }

    /// The headers to send: `traceparent`, and `tracestate` if there is one.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.tracestate().map(|state| ("tracestate", state));
        std::iter::once(("traceparent", self.traceparent())).chain(state)
    }

    /// The id of the trace: 32 hexadecimal digits, not all of them 0.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The id of the caller's span: 16 hexadecimal digits, not all of them 0.
    pub fn parent_id(&self) -> &str {
        &self.0[36..52]
    }

    /// Whether the caller may have recorded the trace.
    pub fn sampled(&self) -> bool {
        u8::from_str_radix(&self.0[53..TRACEPARENT_LENGTH], 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.as_stored()).finish()
    }
}

/// `00-<trace id>-<parent id>-<flags>`
const TRACEPARENT_LENGTH: usize = 55;
/// May surround a header, and each member of a list.
const BLANKS: [char; 2] = [' ', '\t'];
const MEMBERS_MAX: usize = 32;

/// The header as one of version 00.
fn valid_traceparent(text: &str) -> Option<String> {
    let (known, rest) = text.split_at_checked(TRACEPARENT_LENGTH)?;
    let mut fields = known.splitn(4, '-');
    let mut hex = |length| {
        let field = fields.next()?;
        let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (field.len() == length && is_hex).then_some(field)
    };
    let (version, trace_id, parent_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if [trace_id, parent_id].iter().any(|id| id.bytes().all(|byte| byte == b'0')) {
        return None;
    }
    match version {
        "00" => rest.is_empty().then(|| known.to_owned()),
        "ff" => None,
        // More fields may follow. Of the flags, only the first is known to mean the same.
        _ => {
            let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
            let is_whole = rest.is_empty() || rest.starts_with('-');
            is_whole.then(|| format!("00-{trace_id}-{parent_id}-{sampled:02x}"))
        }
    }
}

fn is_tracestate(text: &str) -> bool {
    let mut keys = HashSet::new();
    let mut members = text.split(',').map(|member| member.trim_matches(BLANKS)).filter(|it| !it.is_empty());
    let is_member =
        |member: &str| member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value));
    text.len() <= TraceContext::TRACESTATE_MAX
        && members.all(|member| is_member(member) && keys.insert(member.split('=').next()))
        && (1..=MEMBERS_MAX).contains(&keys.len())
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let is_name = |name: &str, length_max| {
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        (1..=length_max).contains(&name.len())
            && name.bytes().all(allowed)
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    match key.split_once('@') {
        Some((tenant, vendor)) => is_name(tenant, 241) && is_name(vendor, 14),
        None => is_name(key, 256),
    }
}

/// What surrounds it was cut off: it does not end with a space.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn read(traceparent: &str) -> Option<TraceContext> {
        TraceContext::from_headers(traceparent, None)
    }

    fn state(tracestate: &str) -> Option<String> {
        let read = TraceContext::from_headers(&format!("00-{TRACE}-{PARENT}-01"), Some(tracestate));
        read.unwrap().tracestate().map(str::to_owned)
    }

    #[test]
    fn a_valid_traceparent_is_read_as_it_is() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let header = format!("00-{TRACE}-{PARENT}-{flags}");
            let read = read(&format!(" {header}\t")).unwrap();
            assert_eq!((read.traceparent(), read.trace_id(), read.parent_id()), (&*header, TRACE, PARENT));
            assert_eq!((read.sampled(), read.tracestate()), (sampled, None));
            assert_eq!(TraceContext::from_stored(read.as_stored()), Some(read));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for header in [
            format!("01-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-03-what-comes-later"),
            format!("fe-{TRACE}-{PARENT}-09-"),
        ] {
            assert_eq!(read(&header).unwrap().traceparent(), format!("00-{TRACE}-{PARENT}-01"), "{header}");
        }
        for header in
            [format!("01-{TRACE}-{PARENT}-01x"), format!("01-{TRACE}-{PARENT}-01.x"), "01".to_owned()]
        {
            assert_eq!(read(&header), None, "{header}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let zeros = "0".repeat(32);
        for header in [
            String::new(),
            "é".repeat(40),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-0"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{PARENT}-0A"),
            format!("0A-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{}g-01", &PARENT[1..]),
            format!("00_{TRACE}_{PARENT}_01"),
            format!("00-{PARENT}-{TRACE}-01"),
            format!("00-{}é-{PARENT}-01", &TRACE[2..]),
            format!("00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(TraceContext::from_headers(&header, Some("a=1")), None, "{header}");
        }
    }

    #[test]
    fn an_invalid_tracestate_is_left_out_alone() {
        let key = |length: usize| "k".repeat(length);
        let members = |count: usize| (0..count).map(|it| format!("k{it}=1")).collect::<Vec<_>>().join(",");
        for valid in [
            "vendor=1".to_owned(),
            "a=1,b=2 , c=3".to_owned(),
            "a=1,,b=2".to_owned(),
            "0a_-*/=!~ .".to_owned(),
            "tenant@vendor=x;y:z".to_owned(),
            format!("{}={}", key(256), "v".repeat(255)),
            format!("{}@{}=1", key(241), key(14)),
            members(32),
        ] {
            assert_eq!(state(&valid), Some(valid));
        }
        for invalid in [
            String::new(),
            ",".to_owned(),
            "a".to_owned(),
            "=1".to_owned(),
            "a=".to_owned(),
            "A=1".to_owned(),
            "a =1".to_owned(),
            "a=1=2".to_owned(),
            "a=é".to_owned(),
            "a=1\n".to_owned(),
            "-a=1".to_owned(),
            "a@=1".to_owned(),
            "a@b@c=1".to_owned(),
            "a=1,a=2".to_owned(),
            format!("{}=1", key(257)),
            format!("{}@b=1", key(242)),
            format!("a@{}=1", key(15)),
            format!("a={}", "v".repeat(257)),
            format!("{}={}", key(256), "v".repeat(256)),
            members(33),
        ] {
            assert_eq!(state(&invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_changeset_without_a_trace_keeps_a_pointer_for_it() {
        assert_eq!(size_of::<Option<TraceContext>>(), size_of::<usize>());
    }
}
