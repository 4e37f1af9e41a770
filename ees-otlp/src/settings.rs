//! The standard environment variables.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const ENDPOINT: &str = "ENDPOINT";
const PROTOCOL: &str = "http/protobuf";
const TIMEOUT: Duration = Duration::from_secs(10);
const METRIC_EXPORT_INTERVAL: Duration = Duration::from_secs(60);

/// A variable with a value that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is \"{value}\": {why}")]
pub struct InvalidSetting {
    variable: String,
    value: String,
    why: String,
}

/// Where to send what.
pub(crate) struct Settings {
    pub(crate) traces: Option<Destination>,
    pub(crate) metrics: Option<Destination>,
    pub(crate) metric_export_interval: Duration,
}

/// Where one of the two goes.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) signal: Signal,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
    pub(crate) is_compressed: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

impl Settings {
    /// Reads them. `variable` looks one up.
    pub(crate) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, InvalidSetting> {
        let environment = Environment(variable);
        let is_disabled =
            environment.given("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let destination = |signal| if is_disabled { Ok(None) } else { environment.destination(signal) };
        let interval = environment.milliseconds("OTEL_METRIC_EXPORT_INTERVAL")?;
        Ok(Self {
            traces: destination(Signal::Traces)?,
            metrics: destination(Signal::Metrics)?,
            metric_export_interval: interval.filter(|it| !it.is_zero()).unwrap_or(METRIC_EXPORT_INTERVAL),
        })
    }
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// An empty variable counts as missing: the specification says so.
    fn given(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The variable of one of the two, else of both.
    fn special_or_general(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let special = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name().to_uppercase());
        let general = format!("OTEL_EXPORTER_OTLP_{what}");
        [special, general].into_iter().find_map(|name| Some((self.given(&name)?, name)).map(|(v, n)| (n, v)))
    }

    fn destination(&self, signal: Signal) -> Result<Option<Destination>, InvalidSetting> {
        let Some((variable, endpoint)) = self.special_or_general(signal, ENDPOINT) else { return Ok(None) };
        let exporter = format!("OTEL_{}_EXPORTER", signal.name().to_uppercase());
        match self.given(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(invalid(&exporter, other, "set it to otlp or none")),
        }
        let is_general = variable.ends_with("_OTLP_ENDPOINT");
        let url = if is_general {
            format!("{}/v1/{}", endpoint.trim_end_matches('/'), signal.name())
        } else {
            endpoint.clone()
        };
        // It may hold a password, so no error shows more of it than it must.
        let shown = if endpoint.contains('@') { "***" } else { &*endpoint };
        let url = Url::parse(&url).map_err(|e| invalid(&variable, shown, &e.to_string()))?;
        match url.scheme() {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => {
                return Err(invalid(
                    &variable,
                    &url.origin().ascii_serialization(),
                    "this program was built without the feature tls",
                ));
            }
            _ => return Err(invalid(&variable, shown, "it must begin with http:// or https://")),
        }
        if let Some((variable, protocol)) = self.special_or_general(signal, "PROTOCOL")
            && protocol != PROTOCOL
        {
            let why = format!(
                "only {PROTOCOL} is spoken here: set it to {PROTOCOL}, and the endpoint to the collector's port \
                 for HTTP (usually 4318)"
            );
            return Err(invalid(&variable, &protocol, &why));
        }
        let timeout = self.special_or_general(signal, "TIMEOUT");
        let timeout = timeout.map(|(variable, value)| milliseconds(&variable, &value)).transpose()?;
        let headers = self.special_or_general(signal, "HEADERS");
        let headers = headers.map(|(variable, value)| headers_of(&variable, &value)).transpose()?;
        let is_compressed = match self.special_or_general(signal, "COMPRESSION") {
            None => false,
            Some((_, value)) if value == "none" => false,
            Some((_, value)) if value == "gzip" => true,
            Some((variable, value)) => return Err(invalid(&variable, &value, "set it to gzip or none")),
        };
        Ok(Some(Destination {
            signal,
            url,
            headers: headers.unwrap_or_default(),
            timeout: timeout.unwrap_or(TIMEOUT),
            is_compressed,
        }))
    }

    fn milliseconds(&self, variable: &str) -> Result<Option<Duration>, InvalidSetting> {
        self.given(variable).map(|value| milliseconds(variable, &value)).transpose()
    }
}

fn milliseconds(variable: &str, value: &str) -> Result<Duration, InvalidSetting> {
    let parsed = value.parse().map(Duration::from_millis);
    parsed.map_err(|_| invalid(variable, value, "it must be a number of milliseconds"))
}

/// `name=value,name=value`, percent-encoded. A value may be a secret, so that no error shows it.
fn headers_of(variable: &str, text: &str) -> Result<HeaderMap, InvalidSetting> {
    let refused = || invalid(variable, "...", "it must have the form name=value,name=value");
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(refused)?;
        let name: HeaderName = name.trim().parse().map_err(|_| refused())?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn invalid(variable: &str, value: &str, why: &str) -> InvalidSetting {
    InvalidSetting { variable: variable.to_owned(), value: value.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, InvalidSetting> {
        let look_up = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&look_up)
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_set() {
        for off in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "TRUE")],
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                ("OTEL_TRACES_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ],
        ] {
            let settings = read(off).unwrap();
            assert!(settings.traces.is_none() && settings.metrics.is_none(), "{off:?}");
        }
    }

    #[test]
    fn the_general_endpoint_gets_a_path_and_a_special_one_is_a_whole_url() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m/custom"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, b = 2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ]);
        let Settings { traces, metrics, metric_export_interval } = settings.unwrap();
        let (traces, metrics) = (traces.unwrap(), metrics.unwrap());
        assert_eq!(traces.url.as_str(), "http://c:4318/base/v1/traces");
        assert_eq!(metrics.url.as_str(), "http://m/custom");
        assert_eq!(traces.headers["authorization"], "Bearer x");
        assert_eq!(metrics.headers["b"], "2");
        assert_eq!(traces.timeout, Duration::from_millis(250));
        assert_eq!((traces.is_compressed, metrics.is_compressed), (true, false));
        assert_eq!(metric_export_interval, Duration::from_millis(100));
    }

    #[test]
    fn a_value_that_can_not_be_used_is_refused_with_what_to_set() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        for (variable, value, says) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set it to http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "http://"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics", "relative"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip"),
            ("OTEL_TRACES_EXPORTER", "jaeger", "otlp or none"),
        ] {
            let refused = read(&[endpoint, (variable, value)]).err().unwrap().to_string();
            assert!(refused.contains(variable) && refused.contains(value), "{refused}");
            assert!(refused.contains(says), "{refused}");
        }
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,secret"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:secret@c"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "user:secret@c"),
        ] {
            let refused = read(&[(variable, value), endpoint]).err().unwrap();
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        // Without an endpoint, nobody has asked for anything.
        assert!(read(&[("OTEL_METRICS_EXPORTER", "prometheus")]).unwrap().metrics.is_none());
    }
}
