//! Ctrl-C and SIGTERM during an import.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// Resolves when the process is asked to end. Never, if the system does not tell.
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
