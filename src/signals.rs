//! SIGTERM and Ctrl-C: the first one stops gracefully, the second one immediately. SIGHUP: files are read again.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure, Outcome};

/// Installs the handlers. The future resolves at the first signal; the second one exits the process, even if
/// nothing polls the future any more.
pub(crate) fn listen() -> Outcome<impl Future<Output = ()>> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let (request_stop, stop_requested) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping after what was accepted is finished");
        let _ = request_stop.send(());
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped immediately");
        process::exit(Exit::Interrupted as i32);
    });
    Ok(async {
        let _ = stop_requested.await;
    })
}

/// Installs the handler. Without it, SIGHUP ends the process.
pub(crate) fn hangups() -> Outcome<Signal> {
    listen_for(SignalKind::hangup())
}

fn listen_for(kind: SignalKind) -> Outcome<Signal> {
    signal(kind).map_err(|error| Failure::other(format!("cannot listen for signals: {error}")))
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
