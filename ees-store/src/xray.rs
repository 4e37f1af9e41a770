//! A trace of AWS X-Ray.

use crate::TraceContext;

impl TraceContext {
    /// Reads a trace of AWS X-Ray: the header `X-Amzn-Trace-Id`, or the variable `_X_AMZN_TRACE_ID` of a Lambda
    /// function. `None` unless it names the caller's span and is sampled: X-Ray marks all requests, also where
    /// nobody records them.
    ///
    /// ```
    /// use ees_store::TraceContext;
    /// let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    /// let trace = TraceContext::from_xray(header).ok_or("no trace")?;
    /// assert_eq!(trace.traceparent(), "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    /// # Ok::<(), &str>(())
    /// ```
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = header.split(';').filter_map(|field| field.trim().split_once('='));
            fields.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
        };
        let (time, rest) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let (parent, sampled) = (field("Parent")?, field("Sampled")?);
        if sampled != "1" || time.len() != 8 {
            return None;
        }
        Self::from_headers(&format!("00-{time}{rest}-{parent}-01").to_ascii_lowercase(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_x_ray_only_a_sampled_trace_with_a_parent_is_a_trace() {
        let whole = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert!(TraceContext::from_xray(whole).is_some());
        assert!(TraceContext::from_xray(&format!("Self=1-a-b; {whole};Lineage=1:2:3")).is_some());
        for other in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            &whole.replace("Sampled=1", "Sampled=0"),
            &whole.replace("Sampled=1", "Sampled=?"),
            &whole.replace("Root=1", "Root=2"),
            &whole.replace("5759e988-", "5759e98-8"),
            &whole.replace("53995c3f42cd8ad8", "0000000000000000"),
            &whole.replace("bd86", "xyzw"),
        ] {
            assert_eq!(TraceContext::from_xray(other), None, "{other}");
        }
    }
}
