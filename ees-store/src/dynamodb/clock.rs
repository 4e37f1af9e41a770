//! The time as DynamoDB has it. Every answer tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::Timestamp;

/// A clock that is further from DynamoDB's is worth a warning: AWS soon refuses the signatures too.
const OFF_MAX_MICROS: i64 = 5 * 60 * 1_000_000;

/// An answer that took longer does not tell what the time is now.
const ANSWERED_WITHIN_MICROS: i64 = 2_000_000;

/// When a request was sent, by this machine's clock.
#[derive(Debug)]
struct SentAt(Timestamp);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

/// DynamoDB's clock, which also decides when an idempotency key is removed. This machine's own, until DynamoDB
/// has answered. Clones are one clock.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceClock(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How far DynamoDB is ahead of this machine, in microseconds.
    ahead: AtomicI64,
    is_warned: AtomicBool,
}

impl ServiceClock {
    pub(super) fn now(&self) -> Timestamp {
        let ahead = self.0.ahead.load(Ordering::Relaxed);
        Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(ahead))
    }

    /// DynamoDB has answered at this moment, by its clock.
    fn heard(&self, time: Timestamp) {
        let ahead = time.as_micros().saturating_sub(Timestamp::now().as_micros());
        self.0.ahead.store(ahead, Ordering::Relaxed);
        if ahead.abs() > OFF_MAX_MICROS && !self.0.is_warned.swap(true, Ordering::Relaxed) {
            let seconds = ahead / 1_000_000;
            tracing::warn!(
                seconds,
                "DynamoDB's clock is ahead of this machine's by so much; set this one right"
            );
        }
    }
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(Timestamp::now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A process that was frozen meanwhile reads an old time.
        let waited = bag.load::<SentAt>().map(|SentAt(sent)| Timestamp::now().as_micros() - sent.as_micros());
        if waited.is_none_or(|waited| waited.abs() > ANSWERED_WITHIN_MICROS) {
            return Ok(());
        }
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date {
            self.heard(Timestamp::from_micros(date.secs().saturating_mul(1_000_000)));
        }
        Ok(())
    }
}
