//! Eight clients that commit the history. Each commits its own share of the files.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::client::Client;
use ees_store::{ChangesetId, Checkpoint, Commit, Committed, EventStore, StreamId};
use ees_tests::history;
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
/// Longer than any commit takes, whatever is killed in the meantime.
const PATIENCE: Duration = Duration::from_secs(120);

/// The checkpoint of every acknowledged changeset.
pub type Acknowledged = BTreeMap<(StreamId, ChangesetId), Checkpoint>;

pub struct Clients(JoinSet<Acknowledged>);

impl Clients {
    /// Waits until the whole history is acknowledged.
    pub async fn acknowledged(self) -> Acknowledged {
        self.0.join_all().await.into_iter().flatten().collect()
    }
}

pub fn start(urls: Vec<String>, chance: &mut fastrand::Rng) -> Clients {
    let mut shares: Vec<Vec<Commit>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (number, line) in history::lines().iter().enumerate() {
        let mut hasher = DefaultHasher::new();
        line.stream_id.hash(&mut hasher);
        let share = usize::try_from(hasher.finish() % CLIENTS).unwrap();
        let key = format!("line-{number}").parse().unwrap();
        shares[share].push(line.commit().with_idempotency_key(key));
    }
    let urls: Arc<[String]> = urls.into();
    Clients(shares.into_iter().map(|share| commit_all(share, urls.clone(), chance.fork())).collect())
}

/// Sends each commit to one server or the other, until it is answered.
async fn commit_all(share: Vec<Commit>, urls: Arc<[String]>, mut chance: fastrand::Rng) -> Acknowledged {
    // Short timeouts, because a frozen server does not answer.
    let client =
        |url: &String| Client::builder(url).timeout(Duration::from_millis(500)).retries(0).build().unwrap();
    let servers: Vec<Client> = urls.iter().map(client).collect();
    let mut server = chance.usize(..servers.len());
    let mut acknowledged = Acknowledged::new();
    for commit in share {
        let deadline = Instant::now() + PATIENCE;
        let Committed { changeset_id, checkpoint } = loop {
            let error = match servers[server].commit(commit.clone()).await {
                Ok(committed) => break committed,
                Err(error) => error,
            };
            assert!(error.is_transient() && Instant::now() < deadline, "{}: {error:?}", commit.stream_id);
            server = (server + 1) % servers.len();
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(changeset_id.get(), commit.expectation.number() + 1, "{}", commit.stream_id);
        acknowledged.insert((commit.stream_id, changeset_id), checkpoint.unwrap());
    }
    acknowledged
}
