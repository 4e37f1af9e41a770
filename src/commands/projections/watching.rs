//! Watches what goes on in a server: to end the watching does not end the work.

use crate::exit::{Exit, Failure, Outcome};
use crate::signals;

/// Begins work in the server and watches it. Where Ctrl-C ends that, `goes_on` says what goes on, and `how` how to see it
/// and to end it.
pub(super) async fn watched<T>(
    work: impl Future<Output = Outcome<T>>,
    goes_on: &str,
    how: &str,
) -> Outcome<T> {
    let interrupted = signals::listen()?;
    tokio::select! {
        done = Box::pin(work) => done,
        () = interrupted => {
            let why = format!("interrupted: {goes_on}");
            Err(Failure::new(Exit::Interrupted, "INTERRUPTED", why).with_hint(how))
        }
    }
}
