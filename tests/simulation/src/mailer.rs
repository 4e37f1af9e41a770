//! A reactor, and the world that it acts on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ees_projector::BoxError;
use ees_projector::reactor::{Cause, Firing, Reactor};

use crate::machine;
use crate::read_models::Event;

/// One attempt to send a mail.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) worker: String,
    pub(crate) began: Duration,
    /// When it was over, or its process.
    pub(crate) ended: Option<Duration>,
    pub(crate) is_sent: bool,
}

/// All attempts, by what the mail is about.
#[derive(Clone, Default)]
pub(crate) struct Mails(Arc<Mutex<BTreeMap<String, Vec<Attempt>>>>);

impl Mails {
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Attempt>> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) struct Mailer {
    pub(crate) worker: String,
    pub(crate) mails: Mails,
}

impl Reactor for Mailer {
    type Event = Event;

    fn name(&self) -> &str {
        "mailer"
    }

    async fn react(&self, cause: Cause<'_, Event>) -> Result<(), BoxError> {
        let Event::Noted { remind_after_seconds, .. } = cause.event;
        let key = format!("{}#{}", cause.stream_id(), cause.event_id);
        if *remind_after_seconds > 0 {
            let due = cause.timestamp() + Duration::from_secs(*remind_after_seconds);
            cause.at(due, &key, &()).await?;
        }
        cause.effect("mail", async || self.send(key).await).await
    }

    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let key = reminder_of(&firing.timer().key);
        firing.effect("mail", async || self.send(key).await).await
    }
}

/// The key of a reminder, for that of the mail that it is about.
pub(crate) fn reminder_of(mail: &str) -> String {
    format!("{mail}, a reminder")
}

impl Mailer {
    async fn send(&self, key: String) -> Result<(), BoxError> {
        let mut sending = Sending::begin(self, key);
        let takes = if fastrand::u32(..50) == 0 { 5_000 } else { fastrand::u64(..400) };
        tokio::time::sleep(Duration::from_millis(takes)).await;
        if fastrand::u32(..10) == 0 {
            return Err("the mail server has no time".into());
        }
        sending.change(|attempt| attempt.is_sent = true);
        Ok(())
    }
}

/// Notes the end of an attempt in any case.
struct Sending {
    mails: Mails,
    key: String,
    at: usize,
}

impl Sending {
    fn begin(mailer: &Mailer, key: String) -> Self {
        let attempt =
            Attempt { worker: mailer.worker.clone(), began: machine::now(), ended: None, is_sent: false };
        let mut all = mailer.mails.0.lock().unwrap();
        let attempts = all.entry(key.clone()).or_default();
        attempts.push(attempt);
        let at = attempts.len() - 1;
        drop(all);
        Self { mails: mailer.mails.clone(), key, at }
    }

    fn change(&mut self, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempts) = self.mails.0.lock().unwrap().get_mut(&self.key) {
            change(&mut attempts[self.at]);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.change(|attempt| attempt.ended = Some(machine::now()));
    }
}
