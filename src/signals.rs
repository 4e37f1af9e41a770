//! SIGTERM and Ctrl-C: the first one stops gracefully, the second one immediately.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure, Outcome};

/// Installs the handlers. The future resolves at the first signal; the second one exits the process, even if
/// nothing polls the future any more.
pub(crate) fn listen() -> Outcome<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|e| Failure::other(format!("cannot listen for signals: {e}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
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

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
