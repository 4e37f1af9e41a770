//! Ctrl-C and SIGTERM during an import.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// Resolves when the process is asked to end, or never, if the system does not say so. From the first poll on,
/// Ctrl-C does not end the process by itself.
pub(super) async fn interrupted() -> Failure {
    let listen = |kind| signal(kind).ok();
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    tokio::select! {
        () = next(&mut interrupt) => {}
        () = next(&mut terminate) => {}
    }
    Failure::new(Exit::Interrupted, "INTERRUPTED", "interrupted")
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
