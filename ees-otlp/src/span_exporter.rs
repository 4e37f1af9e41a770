//! Spans as messages of the protocol.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Exporter};

use crate::sender::Sender;

#[derive(Debug)]
pub(crate) struct SpanExporter {
    sender: Arc<Sender>,
    resource: ResourceAttributesWithSchema,
}

impl SpanExporter {
    pub(crate) fn new(sender: Sender) -> Self {
        Self { sender: Arc::new(sender), resource: ResourceAttributesWithSchema::default() }
    }
}

impl Exporter for SpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let sent = self.sender.send(&ExportTraceServiceRequest { resource_spans }).await;
        sent.map_err(OTelSdkError::InternalFailure)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
