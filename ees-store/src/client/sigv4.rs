//! Requests signed as AWS wants them (Signature Version 4), for an API behind API Gateway.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::SharedTimeSource;
use aws_types::SdkConfig;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Request, Url};
use tokio::sync::Mutex;

use crate::{Error, Result};

const SERVICE: &str = "execute-api";
/// Asked for anew so long before they expire.
const BEFORE_EXPIRY: Duration = Duration::from_secs(60);
/// Those that don't expire are asked for anew after so long: somebody may have changed them.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// The maximum time to wait for credentials.
const ASKED_MAX: Duration = Duration::from_secs(30);

/// Signs requests with credentials that are kept, and asked for anew in time. Clones share them.
#[derive(Clone)]
pub(super) struct Signer {
    provider: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<Kept>>>,
    region: String,
    service: &'static str,
    clock: SharedTimeSource,
}

struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

/// Why a request was not signed.
pub(super) enum Unsigned {
    /// The source of the credentials can't be reached; a retry may succeed.
    Passes(String),
    /// There are none, or the request can't be signed.
    Stays(String),
}

impl Signer {
    /// With the credentials of this configuration; in the region that the URL names, else in the
    /// configuration's.
    pub(super) fn new(config: &SdkConfig, url: &str) -> Result<Self> {
        let refuse = |why: &str| Error::InvalidRequest(format!("can't sign requests: {why}"));
        let provider = config.credentials_provider().ok_or_else(|| refuse("there are no credentials"))?;
        let region = region_of(url).or_else(|| config.region().map(ToString::to_string));
        let region = region.ok_or_else(|| refuse("no region is set (AWS_REGION)"))?;
        let clock = config.time_source().unwrap_or_default();
        Ok(Self { provider, kept: Arc::default(), region, service: SERVICE, clock })
    }

    /// Adds the signature of the request as it stands; nothing of it may change from here on.
    pub(super) async fn sign(&self, request: &mut Request) -> Result<(), Unsigned> {
        let credentials = self.credentials().await?;
        let stays =
            |error: &dyn std::error::Error| Unsigned::Stays(format!("can't sign the request: {error}"));
        let params = v4::SigningParams::builder()
            .identity(&credentials)
            .region(&self.region)
            .name(self.service)
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| stays(&e))?;
        // A value in another alphabet is read one way here and another way there: it goes along unsigned.
        let headers = request.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let (method, url) = (request.method().as_str(), request.url().as_str());
        let signed = SignableRequest::new(method, url, headers, SignableBody::Bytes(body))
            .and_then(|signable| sign(signable, &params.into()))
            .map_err(|e| stays(&e))?;
        let (headers, _) = signed.into_parts().0.into_parts();
        for header in headers {
            let mut value = HeaderValue::from_str(header.value()).map_err(|e| stays(&e))?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }

    /// What was refused as expired is not used again, whatever was said of it.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    /// Asked for by one call at a time; the others wait for what it gets.
    async fn credentials(&self) -> Result<aws_smithy_runtime_api::client::identity::Identity, Unsigned> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some(Kept { credentials, until }) = &*kept
            && now < *until
        {
            return Ok(credentials.clone().into());
        }
        let asked = tokio::time::timeout(ASKED_MAX, self.provider.provide_credentials()).await;
        let asked = asked.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(ASKED_MAX)));
        let credentials = match (asked, &*kept) {
            (Ok(credentials), _) => credentials,
            // Nobody to ask, but these still hold.
            (Err(_), Some(Kept { credentials, .. })) if credentials.expiry().is_some_and(|it| now < it) => {
                return Ok(credentials.clone().into());
            }
            (Err(error), _) => return Err(unsigned(&error)),
        };
        let until = credentials.expiry().map_or(now + KEPT, |expiry| expiry - BEFORE_EXPIRY);
        *kept = Some(Kept { credentials: credentials.clone(), until });
        Ok(credentials.into())
    }
}

fn unsigned(error: &CredentialsError) -> Unsigned {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    let why = format!("there are no AWS credentials: {}", causes.join(": "));
    match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => Unsigned::Passes(why),
        _ => Unsigned::Stays(why),
    }
}

/// Whether this is an address of API Gateway itself, such as `https://ID.execute-api.REGION.amazonaws.com`.
pub(super) fn is_api_gateway(url: &str) -> bool {
    region_of(url).is_some()
}

/// The region in such an address.
fn region_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let mut labels = url.domain()?.split('.').skip_while(|label| *label != SERVICE);
    let (_, region, mut rest) = (labels.next()?, labels.next()?, labels);
    rest.any(|label| label == "amazonaws").then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_smithy_async::time::StaticTimeSource;
    use aws_types::region::Region;
    use reqwest::Method;

    use super::*;

    fn config(credentials: Credentials, now: SystemTime) -> SdkConfig {
        SdkConfig::builder()
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .time_source(StaticTimeSource::new(now))
            .build()
    }

    #[test]
    fn the_region_is_that_of_the_url_where_it_names_one() {
        for (url, region) in [
            ("https://a1b2.execute-api.eu-central-1.amazonaws.com/v1", Some("eu-central-1")),
            ("https://a1b2.execute-api.cn-north-1.amazonaws.com.cn/v1", Some("cn-north-1")),
            ("https://a1b2-vpce-1.execute-api.eu-west-1.vpce.amazonaws.com/v1", Some("eu-west-1")),
            ("https://events.example.com", None),
            ("http://execute-api.localhost:4566", None),
            ("http://127.0.0.1:4566/_aws/execute-api/a1b2/v1", None),
        ] {
            assert_eq!(region_of(url).as_deref(), region, "{url}");
        }
    }

    /// By an example of AWS's own test suite for signatures (`get-vanilla-query-order-encoded`).
    #[tokio::test]
    async fn a_known_request_gets_its_known_signature() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, None, None, "test");
        // 20150830T123600Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let url = "https://example.amazonaws.com/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1";
        let signer = Signer { service: "service", ..Signer::new(&config(credentials, now), url).unwrap() };
        let mut request = Request::new(Method::GET, url.parse().unwrap());
        assert!(signer.sign(&mut request).await.is_ok());
        let header = request.headers()["authorization"].to_str().unwrap();
        let (scope, signature) = header.rsplit_once("Signature=").unwrap();
        assert!(
            scope.ends_with("20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "),
            "{scope}"
        );
        assert_eq!(signature, "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac");
    }

    #[tokio::test]
    async fn credentials_are_asked_for_anew_before_they_expire() {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

        #[derive(Debug, Default)]
        struct Counting(Arc<AtomicUsize>, Option<SystemTime>);
        impl ProvideCredentials for Counting {
            fn provide_credentials<'a>(
                &'a self,
            ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                self.0.fetch_add(1, Relaxed);
                let credentials = Credentials::new("id", "secret", None, self.1, "test");
                aws_credential_types::provider::future::ProvideCredentials::ready(Ok(credentials))
            }
        }

        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        for (expiry, asked) in [(None, 1), (Some(now + BEFORE_EXPIRY * 2), 1), (Some(now + BEFORE_EXPIRY), 3)]
        {
            let count = Arc::new(AtomicUsize::new(0));
            let config = config(Credentials::new("", "", None, None, ""), now).into_builder();
            let provider = SharedCredentialsProvider::new(Counting(count.clone(), expiry));
            let config = config.credentials_provider(provider).build();
            let signer = Signer::new(&config, "https://host").unwrap();
            for _ in 0..3 {
                assert!(signer.credentials().await.is_ok());
            }
            assert_eq!(count.load(Relaxed), asked, "{expiry:?}");
        }
    }
}
