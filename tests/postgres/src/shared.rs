//! The server that all tests of a run share.

use std::fs::File;
use std::process::Stdio;
use std::sync::OnceLock;

use ees_test_shared::{server, target};

use crate::cluster::Cluster;

/// The shared server. It lives at least as long as this process.
pub(crate) fn cluster() -> &'static Cluster {
    static JOINED: OnceLock<(Cluster, File)> = OnceLock::new();
    let (cluster, _lock) = JOINED.get_or_init(|| {
        let (place, lock) = server::join(
            &target().join("postgres"),
            || Cluster::reserve().0,
            |place, users, lock| drop(Cluster(place.clone()).start(Some(users), Stdio::from(lock))),
        );
        let cluster = Cluster(place);
        cluster.wait_until_ready();
        (cluster, lock)
    });
    cluster
}
