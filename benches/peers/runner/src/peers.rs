//! Who takes part, and how each is used.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Append,
    CatchUp,
    Live,
    Read,
    Enumerate,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Append, Self::CatchUp, Self::Live, Self::Read, Self::Enumerate];

    /// As drivers call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::CatchUp => "catch-up",
            Self::Live => "live",
            Self::Read => "read",
            Self::Enumerate => "enumerate",
        }
    }

    /// How many clients work at once: for each number, the part is measured once.
    pub(crate) fn clients(self, peer: &Peer) -> &'static [usize] {
        match self {
            Self::Append if !peer.one_client => &[1, 8, 64],
            Self::Read if !peer.one_client => &[1, 8],
            _ => &[1],
        }
    }

    /// Whether it begins with all of the workload.
    pub(crate) fn is_of_loaded(self) -> bool {
        matches!(self, Self::CatchUp | Self::Read | Self::Enumerate)
    }
}

/// What a driver is made of.
#[derive(Clone, Copy)]
pub(crate) enum Driver {
    /// A package of this workspace.
    Ours(&'static str),
    /// A package of the workspace `drivers`.
    Rust(&'static str),
    Node,
    Python,
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The package whose version is shown; none for what is in this repository.
    pub(crate) package: &'static str,
    pub(crate) driver: Driver,
    pub(crate) is_limit: bool,
    /// It has no use for several clients.
    pub(crate) one_client: bool,
    /// What it needs, as `server_version_num` has it.
    pub(crate) postgres_min: u32,
    /// The usage and the number of clients that append all of the workload.
    pub(crate) loaded_by: (&'static str, usize),
    pub(crate) usages: &'static [Usage],
}

/// A way to use it: a row of the table.
pub(crate) struct Usage {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) parts: &'static [Part],
}

const fn usage(name: &'static str, title: &'static str, parts: &'static [Part]) -> Usage {
    Usage { name, title, parts }
}

const PEER: Peer = Peer {
    name: "",
    title: "",
    package: "",
    driver: Driver::Node,
    is_limit: false,
    one_client: false,
    postgres_min: 0,
    loaded_by: ("", 64),
    usages: &[],
};
const LIMIT: Peer = Peer { driver: Driver::Ours("peers-limits"), is_limit: true, ..PEER };
const EES: Peer = Peer { driver: Driver::Ours("peers-ees"), ..PEER };

use Part::{Append, CatchUp, Enumerate, Live, Read};

pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "disk",
        title: "the disk",
        one_client: true,
        usages: &[usage("disk", "each append synced", &[Append])],
        ..LIMIT
    },
    Peer {
        name: "postgresql",
        title: "PostgreSQL itself",
        loaded_by: ("postgres-grouped", 64),
        usages: &[
            usage("postgres-singly", "a transaction an append, a statement an event", &[Append, CatchUp]),
            usage("postgres-grouped", "waiting appends in one statement, folded batches", &Part::ALL),
        ],
        ..LIMIT
    },
    Peer {
        name: "sqlite",
        title: "SQLite itself",
        one_client: true,
        loaded_by: ("sqlite-grouped", 1),
        usages: &[
            usage("sqlite-singly", "a transaction an append, a statement an event", &[Append, CatchUp]),
            usage(
                "sqlite-grouped",
                "1,000 appends a transaction, folded batches",
                &[Append, CatchUp, Read, Enumerate],
            ),
        ],
        ..LIMIT
    },
    Peer {
        name: "ees-postgresql",
        title: "ees on PostgreSQL",
        loaded_by: ("postgres-fold", 64),
        usages: &[
            usage("postgres-fold", "fold", &Part::ALL),
            usage("postgres-queued", "own SQL, statements queued", &[CatchUp, Live]),
            usage("postgres-one-by-one", "own SQL, statements one by one", &[CatchUp, Live]),
        ],
        ..EES
    },
    Peer {
        name: "ees-sqlite",
        title: "ees on SQLite",
        loaded_by: ("sqlite-fold", 64),
        usages: &[usage("sqlite-fold", "fold", &Part::ALL)],
        ..EES
    },
    Peer {
        name: "umadb",
        title: "UmaDB",
        package: "umadb-server",
        driver: Driver::Rust("peers-umadb"),
        loaded_by: ("per-batch", 64),
        usages: &[
            usage("per-batch", "subscription, a transaction a batch", &Part::ALL),
            usage("per-event", "subscription, a transaction an event", &[CatchUp]),
        ],
        ..PEER
    },
    Peer {
        name: "cqrs-es",
        title: "cqrs-es",
        package: "postgres-es",
        driver: Driver::Rust("peers-cqrs-es"),
        loaded_by: ("no-query", 64),
        usages: &[
            usage("no-query", "no view", &[Append, Read, Enumerate]),
            usage("generic-query", "inline GenericQuery", &[Append, CatchUp, Live]),
            usage("own-query", "inline query of one's own", &[Append, CatchUp, Live]),
        ],
        ..PEER
    },
    Peer {
        name: "esrs",
        title: "esrs",
        package: "esrs",
        driver: Driver::Rust("peers-esrs"),
        loaded_by: ("no-handler", 64),
        usages: &[
            usage("no-handler", "no view", &[Append, Read, Enumerate]),
            usage("transactional-handler", "inline handler", &[Append, CatchUp, Live]),
        ],
        ..PEER
    },
    Peer {
        name: "eventcore",
        title: "eventcore",
        package: "eventcore-postgres",
        driver: Driver::Rust("peers-eventcore"),
        loaded_by: ("poll-1-s", 16),
        usages: &[
            usage("poll-1-s", "transactional projection, poll 1 s", &Part::ALL),
            usage("poll-20-ms", "transactional projection, poll 20 ms", &[Live]),
        ],
        ..PEER
    },
    Peer {
        name: "message-db",
        title: "Message DB",
        package: "@eventide/message-db",
        driver: Driver::Rust("peers-message-db"),
        loaded_by: ("per-message", 64),
        usages: &[
            usage("per-message", "consumer, a transaction a message", &Part::ALL),
            usage("per-batch", "consumer, a transaction a batch", &[CatchUp, Live]),
        ],
        ..PEER
    },
    Peer {
        name: "disintegrate",
        title: "disintegrate",
        package: "disintegrate-postgres",
        driver: Driver::Rust("peers-disintegrate"),
        postgres_min: 160_000,
        loaded_by: ("event-store", 8),
        usages: &[
            usage("decision-maker", "decision maker, listener", &Part::ALL),
            usage("event-store", "event store alone", &[Append]),
        ],
        ..PEER
    },
    Peer {
        name: "emmett",
        title: "Emmett",
        package: "@event-driven-io/emmett-postgresql",
        driver: Driver::Node,
        loaded_by: ("async", 64),
        usages: &[
            usage("async", "consumer, a statement an event", &Part::ALL),
            usage("async-folded", "consumer, folded batches", &[CatchUp, Live]),
            usage("inline", "inline projection", &[Append, Live]),
        ],
        ..PEER
    },
    Peer {
        name: "emmett-1-writer",
        title: "Emmett (a log of 1 writer)",
        package: "@event-driven-io/emmett-postgresql",
        driver: Driver::Node,
        loaded_by: ("async", 1),
        usages: &[
            usage("async", "consumer, a statement an event", &[CatchUp, Enumerate]),
            usage("async-folded", "consumer, folded batches", &[CatchUp]),
        ],
        ..PEER
    },
    Peer {
        name: "eventsourcing",
        title: "eventsourcing (Python)",
        package: "eventsourcing",
        driver: Driver::Python,
        loaded_by: ("default", 8),
        usages: &[
            usage("default", "projection runner", &Part::ALL),
            usage("database-functions", "with database functions", &[Append]),
        ],
        ..PEER
    },
];
