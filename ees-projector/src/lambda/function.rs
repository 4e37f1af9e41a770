//! A projection or a reactor as an AWS Lambda function.

use std::time::{Duration, Instant, SystemTime};

use aws_lambda_events::dynamodb::Event as Records;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::DynamoDbEventResponse;
use ees_store::publish::Received;
use ees_store::{ChangesetId, StreamId};
use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;

use super::batch::{Item, failed};
use super::invocation::traced;
use super::message_trace::trace_of;
use super::metric::metric;
use super::records;
use crate::host::on_demand::OnDemand;
use crate::host::pending_changesets::PendingChangesets;
use crate::host::poll_backoff;
use crate::spans;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Drained;

/// What the metrics may take of the time that is left for the end of a call.
const METRICS_MAX: Duration = Duration::from_secs(1);

/// A projection or a reactor that runs in an AWS Lambda function. Choose it when no process stays to run a
/// `Projector`.
///
/// Other hosts may run the same projection at the same time: the database lets only one of them commit each
/// step.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use ees_projector::{Fold, OnDemand, Recorded, Settings, memory};
/// # struct Names;
/// # impl Fold for Names {
/// #     type Event = serde_json::Value; type Key = String; type State = String;
/// #     fn name(&self) -> &str { "names" }
/// #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
/// #     fn fold(&self, _: Option<String>, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.event.to_string()) }
/// # }
/// # async fn example(log: Arc<dyn ees_store::ChangesetLog>) -> Result<(), lambda_runtime::Error> {
/// use ees_projector::lambda::Function;
///
/// let names = OnDemand::fold(Names, memory::Database::new(), log, Settings::default())?;
/// Function::new(names).serve_messages().await
/// # }
/// ```
pub struct Function {
    worker: OnDemand,
    margin: Duration,
    after_each: Option<AfterEach>,
    /// What the metrics are about, if they are printed.
    dimensions: Option<Vec<(String, String)>>,
    #[cfg(feature = "api-gateway")]
    operators: Option<super::Gateway>,
}

type AfterEach = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The result of a scheduled call. The function returns it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    /// The name of the projection.
    pub name: String,
    /// How it ended: `CaughtUp`, `OutOfTime`, ...
    pub drained: String,
    /// The last error, if nothing has succeeded since.
    pub error: Option<String>,
}

impl Function {
    /// A function that stops 2 s before its timeout.
    pub fn new(worker: OnDemand) -> Self {
        Self {
            worker,
            margin: Duration::from_secs(2),
            after_each: None,
            dimensions: None,
            #[cfg(feature = "api-gateway")]
            operators: None,
        }
    }

    /// Sets how long before its timeout the function stops. A running step is finished, so the margin should
    /// be longer than a step takes. Default: 2 s.
    #[must_use]
    pub fn with_margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// Runs something at the end of each call, such as sending the spans that were recorded: Lambda freezes the
    /// process until the next call. Default: nothing.
    #[must_use]
    pub fn with_after_each<F>(self, after_each: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { after_each: Some(Box::new(move || after_each().boxed())), ..self }
    }

    /// Prints two metrics at the end of each [scheduled call](Self::on_schedule), also of one that fails: `ProjectionLag`, the
    /// changesets that the projection is behind, and `ParkedStreams`. CloudWatch finds them in the function's log, in the
    /// namespace `ees` with these dimensions. Default: none.
    ///
    /// Set an alarm on `ProjectionLag` that takes missing data for a breach: it also tells that the schedule does not call
    /// the function any more.
    ///
    /// ```no_run
    /// # use ees_projector::{OnDemand, lambda::Function};
    /// # fn example(names: OnDemand) -> Result<Function, std::env::VarError> {
    /// let dimensions = [("Function", std::env::var("AWS_LAMBDA_FUNCTION_NAME")?)];
    /// let function = Function::new(names).with_metrics(dimensions);
    /// # Ok(function)
    /// # }
    /// ```
    #[must_use]
    pub fn with_metrics<N: Into<String>, V: Into<String>>(
        self,
        dimensions: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let dimensions = dimensions.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { dimensions: Some(dimensions), ..self }
    }

    /// Answers requests of a REST API of API Gateway as well: `/projections` and what is below, `/audit`, `/passed`,
    /// `/access` and `/health`, for `ees projections --url ...` and `ees console --url ...`. Default: none.
    ///
    /// Callers whose signature API Gateway has verified (`AuthorizationType: AWS_IAM`) may do what their policies
    /// allow. All others need one of these keys: with the scope read to look, with the scope admin to operate. What
    /// operators can do here, and what not, is what [`OnDemand::handle`] says. It needs a tokio runtime.
    ///
    /// [`serve_messages`](Self::serve_messages) takes such requests, besides messages and schedules.
    #[cfg(feature = "api-gateway")]
    #[must_use]
    pub fn with_operators(self, keys: ees_store::http::ApiKeys) -> Self {
        let handle = self.worker.handle();
        let operators = super::Gateway::of_projections(&handle, keys);
        Self { operators: Some(operators), ..self }
    }

    /// The projection or reactor that the function runs.
    pub fn worker(&self) -> &OnDemand {
        &self.worker
    }

    /// Applies new changesets until the projection is past all messages, or until the deadline. Reports the
    /// messages that it is not past as failed, so that the queue delivers them again.
    ///
    /// A message that is not from the store is reported as failed too, so that the queue's redrive policy
    /// removes it. So is every later message of the same message group.
    pub async fn on_messages(&self, event: &SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let wanted_changesets: Vec<_> =
            event.records.iter().map(|record| changeset_in(record.body.as_deref())).collect();
        let traces: Vec<_> = event.records.iter().filter_map(trace_of).collect();
        let span = spans::messages(self.worker.name(), &traces);
        let passed = span.run(self.passed(&wanted_changesets, deadline)).await;
        span.end();
        let items = event.records.iter().zip(&passed).map(|(record, done)| Item {
            id: record.message_id.as_deref().unwrap_or_default(),
            group: record.attributes.get("MessageGroupId").map(String::as_str),
            done: *done,
        });
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed(&items.collect::<Vec<_>>()));
        response
    }

    /// Applies new changesets until the projection is past all records, or until the deadline. Reports the
    /// first record that it is not past: that one and all later ones are delivered again. An unreadable
    /// record would stay unreadable, so it is logged as an error and does not hold up the others.
    pub async fn on_records(&self, event: &Records, deadline: Instant) -> DynamoDbEventResponse {
        let told = event.records.iter().filter_map(|record| match records::changeset(record) {
            Ok(changeset) => Some((record, changeset.map(|it| (it.stream_id, it.changeset_id))?)),
            Err(error) => {
                tracing::error!(
                    record = record.event_id,
                    error,
                    "a record of the table's stream can't be read; it is left out"
                );
                None
            }
        });
        let (told, wanted_changesets): (Vec<_>, Vec<_>) = told.unzip();
        let reached = self.reached(&wanted_changesets, deadline).await;
        let mut response = DynamoDbEventResponse::default();
        if let Some((record, _)) = told.iter().zip(reached).find(|(_, done)| !done) {
            response.batch_item_failures.push(records::failure(record.change.sequence_number.clone()));
        }
        response
    }

    /// Applies new changesets until the projection has caught up, or until the deadline. Then does the same for its
    /// standby, if there is one.
    ///
    /// # Errors
    /// When the projection is paused, or when it is out of time after an error. The function then fails, so
    /// that its alarms notice.
    pub async fn on_schedule(&self, deadline: Instant) -> Result<Scheduled, Error> {
        let done = self.drained(deadline).await;
        let late = |_| Err(OperateError::Unavailable("nothing has answered in time".to_owned()));
        match tokio::time::timeout(METRICS_MAX, self.metrics()).await.unwrap_or_else(late) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            // No metric is what an alarm notices, too.
            Err(error) => {
                tracing::warn!(projection = self.worker.name(), %error, "how far the projection is behind is unknown");
            }
        }
        done
    }

    /// The lines of [`with_metrics`](Self::with_metrics).
    async fn metrics(&self) -> Result<Vec<Value>, OperateError> {
        let Some(dimensions) = &self.dimensions else { return Ok(Vec::new()) };
        let (lag, parked) = self.worker.lag_and_parked().await?;
        let dimensions: Vec<_> = dimensions.iter().map(|(name, value)| (&**name, &**value)).collect();
        let counts = [("ProjectionLag", lag), ("ParkedStreams", parked as u64)];
        Ok(counts.map(|(name, count)| metric(name, &dimensions, count)).into())
    }

    async fn drained(&self, deadline: Instant) -> Result<Scheduled, Error> {
        let drained = self.worker.drain_until(deadline).await;
        let error = self.worker.last_error().await.map(|failure| failure.message);
        if matches!(drained, Drained::CaughtUp | Drained::Elsewhere) {
            self.worker.drain_standby_until(deadline).await;
        }
        match (drained, error) {
            (Drained::Paused, error) => {
                let why = error.unwrap_or_else(|| "an operator paused it, and must resume it".to_owned());
                Err(format!("\"{}\" is paused: {why}", self.worker.name()).into())
            }
            (Drained::OutOfTime, Some(error)) => Err(format!("\"{}\": {error}", self.worker.name()).into()),
            (drained, error) => {
                let name = self.worker.name().to_owned();
                Ok(Scheduled { name, drained: format!("{drained:?}"), error })
            }
        }
    }

    /// Handles a call as [`serve_messages`](Self::serve_messages) does: a call with messages of a queue goes
    /// to [`on_messages`](Self::on_messages), a request of API Gateway to the operators' routes if there are any, and any
    /// other call to [`on_schedule`](Self::on_schedule).
    ///
    /// # Errors
    /// The errors of [`on_schedule`](Self::on_schedule), or that the records are not an event of SQS.
    pub async fn on_messages_or_schedule(&self, call: Value, deadline: Instant) -> Result<Value, Error> {
        #[cfg(feature = "api-gateway")]
        if let Some(operators) = self.operators.as_ref().filter(|_| call.get("httpMethod").is_some()) {
            // Large, and rarer than the others.
            let answer = Box::pin(operators.answer(serde_json::from_value(call)?)).await?;
            return Ok(serde_json::to_value(answer)?);
        }
        if call.get("Records").is_none() {
            return Ok(serde_json::to_value(self.on_schedule(deadline).await?)?);
        }
        Ok(serde_json::to_value(self.on_messages(&serde_json::from_value(call)?, deadline).await)?)
    }

    /// Serves a queue until the runtime ends the process. This is the one line of `main`.
    ///
    /// Let a schedule call the same function too, about once a minute: it applies changesets for which no
    /// message arrived, and retries what a reactor failed at. The log is the truth; a queue may move a
    /// message to its dead-letter queue.
    ///
    /// # Errors
    /// When the process does not run in a Lambda runtime.
    pub async fn serve_messages(self) -> Result<(), Error> {
        let this = &self;
        lambda_runtime::run(service_fn(|call: LambdaEvent<Value>| async move {
            let deadline = this.deadline(&call.context);
            this.call(&call.context, this.on_messages_or_schedule(call.payload, deadline)).await
        }))
        .await
    }

    /// Serves the stream of a DynamoDB table until the runtime ends the process.
    ///
    /// # Errors
    /// As [`serve_messages`](Self::serve_messages).
    pub async fn serve_records(self) -> Result<(), Error> {
        let this = &self;
        lambda_runtime::run(service_fn(|call: LambdaEvent<Records>| async move {
            let deadline = this.deadline(&call.context);
            this.call(&call.context, async { Ok(this.on_records(&call.payload, deadline).await) }).await
        }))
        .await
    }

    /// Serves a schedule until the runtime ends the process.
    ///
    /// # Errors
    /// As [`serve_messages`](Self::serve_messages).
    pub async fn serve_schedule(self) -> Result<(), Error> {
        let this = &self;
        lambda_runtime::run(service_fn(|call: LambdaEvent<Value>| async move {
            this.call(&call.context, this.on_schedule(this.deadline(&call.context))).await
        }))
        .await
    }

    /// Does the work of a call within a span.
    async fn call<T>(
        &self,
        context: &Context,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = traced(context, work).await;
        if let Some(after_each) = &self.after_each {
            after_each().await;
        }
        done
    }

    fn deadline(&self, context: &Context) -> Instant {
        deadline(context, self.margin)
    }

    /// Whether the projection is past each of these changesets; `false` for a message without one.
    async fn passed(
        &self,
        wanted_changesets: &[Option<(StreamId, ChangesetId)>],
        deadline: Instant,
    ) -> Vec<bool> {
        let wanted: Vec<_> = wanted_changesets.iter().flatten().cloned().collect();
        let reached = self.reached(&wanted, deadline).await;
        let mut reached = reached.into_iter();
        wanted_changesets
            .iter()
            .map(|changeset| changeset.is_some() && reached.next().unwrap_or(false))
            .collect()
    }

    async fn reached(&self, wanted: &[(StreamId, ChangesetId)], deadline: Instant) -> Vec<bool> {
        let changesets = || wanted.iter().map(|(stream_id, id)| (stream_id, *id));
        let mut pending = PendingChangesets::of(changesets());
        let mut pauses = poll_backoff::pauses(poll_backoff::AFTER_MIN);
        loop {
            let drained = self.worker.drain_until(deadline).await;
            if let Err(error) = self.worker.look(&mut pending).await {
                tracing::warn!(projection = self.worker.name(), %error, "the projection's progress is unknown");
            }
            let passed: Vec<_> =
                changesets().map(|(stream_id, id)| pending.is_passed(stream_id, id)).collect();
            let all = passed.iter().all(|passed| *passed);
            let pause = pauses.next().unwrap_or(poll_backoff::AFTER_MAX);
            if all || drained == Drained::Paused || Instant::now() + pause >= deadline {
                return passed;
            }
            // The changesets may get their checkpoints a moment later, or another host may run the
            // projection.
            tokio::time::sleep(pause).await;
        }
    }
}

/// The time at which a function must stop: `margin` before Lambda ends it.
pub fn deadline(context: &Context, margin: Duration) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(margin)
}

fn changeset_in(body: Option<&str>) -> Option<(StreamId, ChangesetId)> {
    match Received::read(body.unwrap_or_default()) {
        Ok(message) => Some((message.stream_id().clone(), message.changeset_id())),
        Err(error) => {
            tracing::warn!(%error, "a message is not from the store; the queue's redrive policy removes it");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ees_store::{Commit, EventStore, Events, Expectation};
    use serde::Deserialize;

    use super::*;
    use crate::{Fold, OnFailure, Order, Parking, Recorded, Retry, Settings, memory};

    #[derive(Deserialize)]
    struct Event {
        number: u64,
    }

    struct Numbers;

    impl Fold for Numbers {
        type Event = Event;
        type Key = String;
        type State = u64;
        fn name(&self) -> &str {
            "numbers"
        }
        fn order(&self) -> Order {
            Order::Stream
        }
        fn key(&self, event: Recorded<'_, Event>) -> Option<String> {
            Some(event.stream_id().to_string())
        }
        fn fold(&self, _: Option<u64>, event: Recorded<'_, Event>) -> Option<u64> {
            Some(event.event.number)
        }
    }

    async fn told(function: &Function) -> Vec<(String, u64)> {
        let value = |line: Value| {
            let metric = line["_aws"]["CloudWatchMetrics"][0].clone();
            assert_eq!((&metric["Namespace"], &line["Function"]), (&"ees".into(), &"f".into()));
            let name = metric["Metrics"][0]["Name"].as_str().unwrap().to_owned();
            let value = line[&name].as_u64().unwrap();
            (name, value)
        };
        function.metrics().await.unwrap().into_iter().map(value).collect()
    }

    #[tokio::test]
    async fn the_metrics_tell_how_far_it_is_behind_and_what_is_parked() {
        let store = Arc::new(ees_store::memory::Store::new());
        for (stream, event) in [("a", r#"{"number": 1}"#), ("b", r#"{"number": "one"}"#)] {
            let events = Events::parse(&format!("[{event}]")).unwrap();
            store.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
        }
        let retry = Retry { times: 1, delay_min: Duration::ZERO, delay_max: Duration::ZERO };
        let on_failure = OnFailure::Park(Parking::default());
        let settings = Settings { retry, on_failure, ..Settings::default() };
        let numbers = OnDemand::fold(Numbers, memory::Database::new(), store, settings).unwrap();
        let function = Function::new(numbers);
        assert!(function.metrics().await.unwrap().is_empty(), "nobody has asked for them");

        let function = function.with_metrics([("Function", "f")]);
        let expected =
            |lag, parked| [("ProjectionLag".to_owned(), lag), ("ParkedStreams".to_owned(), parked)];
        assert_eq!(told(&function).await, expected(2, 0));
        function.on_schedule(Instant::now() + Duration::from_secs(10)).await.unwrap();
        assert_eq!(told(&function).await, expected(0, 1));
    }
}
