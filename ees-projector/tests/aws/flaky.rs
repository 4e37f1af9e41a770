//! An SNS that is as unreliable as the real one may be: before the network, in the SDK's own HTTP layer.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use fastrand::Rng;

/// What goes wrong, by a seed; odds from 0 to 1.
#[derive(Clone, Debug)]
pub struct Flaky {
    /// Calls that break before they arrive, and answers that are lost.
    pub broken: f64,
    /// Messages of a call that are refused as too many, one by one.
    pub refused: f64,
    /// Messages with this text are refused for what they are.
    pub poison: &'static str,
    /// Calls to this topic are never answered.
    pub silent: Option<String>,
    pub rng: Arc<Mutex<Rng>>,
    pub network: SharedHttpClient,
}

impl Flaky {
    pub fn seeded(seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(Rng::with_seed(seed)));
        let network = aws_smithy_http_client::Builder::new().build_http();
        Self { broken: 0.0, refused: 0.0, poison: "!poison!", silent: None, rng, network }
    }

    fn happens(&self, odds: f64) -> bool {
        self.rng.lock().unwrap().f64() < odds
    }

    async fn serve(
        &self,
        network: SharedHttpConnector,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        if !fields.contains(&("Action".to_owned(), "PublishBatch".to_owned())) {
            return network.call(request).await;
        }
        if fields.iter().any(|(name, value)| name == "TopicArn" && Some(value) == self.silent.as_ref()) {
            return pending().await;
        }
        if self.happens(self.broken) {
            return Err(broken());
        }
        let (common, entries) = entries(fields);
        let (mut kept, mut failed) = (Vec::new(), String::new());
        for entry in entries {
            let (id, message) = (field(&entry, "Id"), field(&entry, "Message"));
            let refusal = match () {
                () if message.contains(self.poison) => Some(("InvalidParameter", true)),
                () if self.happens(self.refused) => Some(("Throttling", false)),
                () => None,
            };
            match refusal {
                Some((code, sender)) => failed.push_str(&format!(
                    "<member><Id>{id}</Id><Code>{code}</Code><Message>told to</Message>\
                     <SenderFault>{sender}</SenderFault></member>"
                )),
                None => kept.push(entry),
            }
        }
        let mut taken = String::new();
        if !kept.is_empty() {
            let text = form_of(&common, &kept);
            for entry in &kept {
                let id = field(entry, "Id");
                taken.push_str(&format!("<member><Id>{id}</Id><MessageId>{id}</MessageId></member>"));
            }
            request.headers_mut().insert("content-length", text.len().to_string());
            *request.body_mut() = SdkBody::from(text);
            let mut response = network.call(request).await?;
            let answer = ByteStream::new(response.take_body()).collect().await;
            let answer =
                String::from_utf8(answer.map_err(|e| ConnectorError::io(e.into()))?.to_vec()).unwrap();
            assert!(response.status().is_success() && !answer.contains("SenderFault"), "{answer}");
        }
        if self.happens(self.broken) {
            return Err(broken());
        }
        let answer = format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult>\
             <Successful>{taken}</Successful><Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
        );
        Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(answer)))
    }
}

const PREFIX: &str = "PublishBatchRequestEntries.member.";

type Fields = Vec<(String, String)>;

/// What the call has besides, and the fields of each message.
fn entries(fields: Fields) -> (Fields, Vec<Fields>) {
    let (mut common, mut entries) = (Vec::new(), Vec::<Fields>::new());
    for (name, value) in fields {
        match name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) {
            Some((number, name)) => {
                let number: usize = number.parse().unwrap();
                entries.resize(entries.len().max(number), Vec::new());
                entries[number - 1].push((name.to_owned(), value));
            }
            None => common.push((name, value)),
        }
    }
    (common, entries)
}

fn form_of(common: &Fields, entries: &[Fields]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(common);
    for (number, entry) in entries.iter().enumerate() {
        for (name, value) in entry {
            form.append_pair(&format!("{PREFIX}{}.{name}", number + 1), value);
        }
    }
    form.finish()
}

fn field<'a>(entry: &'a Fields, name: &str) -> &'a str {
    entry.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn broken() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

impl HttpClient for Flaky {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let network = self.network.http_connector(settings, components);
        SharedHttpConnector::new(Connection { flaky: self.clone(), network })
    }
}

#[derive(Debug)]
struct Connection {
    flaky: Flaky,
    network: SharedHttpConnector,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (flaky, network) = (self.flaky.clone(), self.network.clone());
        HttpConnectorFuture::new(async move { flaky.serve(network, request).await })
    }
}
