//! Answers to bulk commits.

use serde_json::{Deserializer, Value};

use crate::client::bulk::read;
use crate::{ChangesetId, Checkpoint, Commit, Events, Expectation};

/// An answer has a verdict for each commit, and a commit counts as stored if and only if its line has the changeset that it
/// became.
pub fn bulk_answer(data: &[u8]) {
    let (Ok(stream_id), Ok(events)) = ("a".parse(), Events::parse("[1]")) else { return };
    let commits = vec![Commit::new(stream_id, Expectation::NewStream, events); 3];
    let Ok(verdicts) = read(data, &commits) else { return };
    assert_eq!(verdicts.len(), commits.len());
    // Not a number beyond the range of floats, in a member that is ignored.
    let Ok(lines) = Deserializer::from_slice(data).into_iter::<Value>().collect::<Result<Vec<_>, _>>() else {
        return;
    };
    // A list is read as the members in their order.
    for (verdict, line) in verdicts.iter().zip(&lines).filter(|(_, line)| line.is_object()) {
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        let stored = verdict.as_ref().ok();
        assert_eq!(stored.map(|stored| stored.changeset_id), number("changeset_id").map(ChangesetId::new));
        if let Some(stored) = stored {
            assert_eq!(stored.checkpoint, number("checkpoint").map(Checkpoint::new));
        }
    }
}
