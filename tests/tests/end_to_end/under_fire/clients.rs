//! Eight clients that commit the history, or a part of it. Each commits its own share of the files.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ees_store::client::Client;
use ees_store::{ChangesetId, Checkpoint, Commit, Committed, EventStore, StreamId};
use ees_tests::history::Line;
use ees_tests::kills::Tally;
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
/// Longer than any commit takes, whatever is killed in the meantime.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every acknowledged changeset, with its checkpoint if the store knows that at once.
pub type Acknowledged = BTreeMap<(StreamId, ChangesetId), Option<Checkpoint>>;

pub struct Clients(JoinSet<(Acknowledged, Tally)>);

impl Clients {
    /// Waits until everything is acknowledged.
    pub async fn acknowledged(self) -> (Acknowledged, Tally) {
        let (mut all, mut tally) = (Acknowledged::new(), Tally::default());
        for (acknowledged, sent) in self.0.join_all().await {
            all.extend(acknowledged);
            tally += sent;
        }
        (all, tally)
    }
}

/// Starts to commit these lines through these servers, which have this time for an answer.
pub fn start(lines: &[Line], urls: &[String], answer_time: Duration, chance: &mut fastrand::Rng) -> Clients {
    let mut shares: Vec<Vec<Commit>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (number, line) in lines.iter().enumerate() {
        let mut hasher = DefaultHasher::new();
        line.stream_id.hash(&mut hasher);
        let share = usize::try_from(hasher.finish() % CLIENTS).unwrap();
        let key = format!("line-{number}").parse().unwrap();
        shares[share].push(line.commit().with_idempotency_key(key));
    }
    let commit_all = |share| {
        let servers = urls.iter().map(|url| {
            // A frozen server does not answer.
            Client::builder(url).timeout(answer_time).retries(0).build().unwrap()
        });
        commit_all(share, servers.collect(), chance.fork())
    };
    Clients(shares.into_iter().map(commit_all).collect())
}

/// Sends each commit to one server or another until it is answered, and some of them once more.
async fn commit_all(
    share: Vec<Commit>,
    servers: Vec<Client>,
    mut chance: fastrand::Rng,
) -> (Acknowledged, Tally) {
    let mut server = chance.usize(..servers.len());
    let (mut acknowledged, mut tally) = (Acknowledged::new(), Tally::default());
    for commit in share {
        let committed = answered(&commit, &servers, &mut server, &mut tally).await;
        assert_eq!(committed.changeset_id.get(), commit.expectation.number() + 1, "{}", commit.stream_id);
        if chance.u8(..8) == 0 {
            server = chance.usize(..servers.len());
            let repeat = answered(&commit, &servers, &mut server, &mut tally).await;
            assert_eq!(repeat, committed, "{}: its key answers", commit.stream_id);
            tally.answered_by_key += 1;
        }
        acknowledged.insert((commit.stream_id, committed.changeset_id), committed.checkpoint);
    }
    tally.changesets = acknowledged.len() as u64;
    (acknowledged, tally)
}

async fn answered(commit: &Commit, servers: &[Client], server: &mut usize, tally: &mut Tally) -> Committed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match servers[*server].commit(commit.clone()).await {
            Ok(committed) => return committed,
            Err(error) => error,
        };
        assert!(error.is_transient() && Instant::now() < deadline, "{}: {error:?}", commit.stream_id);
        tally.sent_again += 1;
        *server = (*server + 1) % servers.len();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
