//! SIGTERM and Ctrl-C: the first one asks to stop, the second one does not ask.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{Exit, Failure, Outcome};

/// Listens from now on. The future is done when the first signal has come; the second one ends the process.
pub(super) fn listen() -> Outcome<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|e| Failure::other(format!("can't listen for signals: {e}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (ask, asked) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping, once what was accepted is finished");
        let _ = ask.send(());
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopped at once");
        process::exit(Exit::Other as i32);
    });
    Ok(async {
        let _ = asked.await;
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
