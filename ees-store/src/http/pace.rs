//! The pace at which a client has to take what it is sent.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How slowly a client may take what it is sent.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// How far it may fall behind the rate.
    pub(super) behind_max: Duration,
    /// Bytes a second; 0 for any.
    pub(super) rate: u32,
}

impl Pace {
    /// The time in which these bytes should be taken.
    fn time_for(self, bytes: usize) -> Duration {
        if self.rate == 0 {
            return self.behind_max;
        }
        let micros = (bytes as u64).saturating_mul(1_000_000) / u64::from(self.rate);
        Duration::from_micros(micros).min(self.behind_max)
    }
}

/// A connection that fails once its client has fallen too far behind its pace.
///
/// The client has a credit of time. It is used up while nothing more can be sent, and what the client takes
/// gives back the time in which it should be taken. So a client that pauses for too long is cut off, and so is
/// one that takes a few bytes now and then. One that is faster than its pace never is.
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
    credit: Duration,
    /// Since when nothing more can be sent.
    stuck: Option<Instant>,
    /// Ends with the credit.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, credit: pace.behind_max, stuck: None, end: None }
    }

    /// What became of an attempt to send.
    fn judge(&mut self, sent: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(bytes)) => {
                if let Some(stuck) = self.stuck.take() {
                    self.credit = self.credit.saturating_sub(stuck.elapsed());
                }
                self.credit = (self.credit + self.pace.time_for(bytes)).min(self.pace.behind_max);
                sent
            }
            Poll::Ready(Err(_)) => sent,
            Poll::Pending => {
                ready!(self.poll_end(context));
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Waits for the end of the credit.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_news = self.stuck.is_none();
        let end = *self.stuck.get_or_insert_with(Instant::now) + self.credit;
        let sleep = self.end.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if is_news {
            sleep.as_mut().reset(end);
        }
        sleep.as_mut().poll(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(sent, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(sent, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// What became of 100 KB for a client that takes 1 KB every 5 ms.
    async fn sent_at(rate: u32) -> io::Result<()> {
        let (ours, mut theirs) = duplex(1_000);
        let mut ours = Paced::new(ours, Pace { behind_max: Duration::from_millis(100), rate });
        tokio::spawn(async move {
            while theirs.read_exact(&mut [0; 1_000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        ours.write_all(&[0; 100_000]).await
    }

    #[tokio::test]
    async fn a_client_that_never_pauses_but_is_slower_than_its_pace_is_cut_off() {
        let told = sent_at(1_000_000).await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::TimedOut);
        // Much slower than this client, and no pace at all.
        sent_at(10_000).await.unwrap();
        sent_at(0).await.unwrap();
    }
}
