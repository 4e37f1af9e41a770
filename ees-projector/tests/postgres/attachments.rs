//! What others made of a read model, attached to it, or made to depend on it.

use ees_projector::postgres::{Database, Tx};
use ees_projector::{
    BoxError, InPlace, OnFailure, OperateError, Parking, Projection, Projector, Recorded, Running, Settings,
    SideBySide, StandbyRole, Status,
};
use serde::de::IgnoredAny;

use sqlx::Connection;

use crate::support::{Balances, Bank};

fn follows(status: &Status) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
}

/// What a user makes, how the refusal names it, a number that it must still give, and how it goes.
const LEANING: &[(&str, &str, &str, &str)] = &[
    (
        "CREATE VIEW public.rich AS SELECT key FROM balances.balances",
        "view public.rich",
        "SELECT count(*) FROM public.rich",
        "DROP VIEW public.rich",
    ),
    (
        "CREATE MATERIALIZED VIEW public.kept AS SELECT key FROM balances.balances",
        "materialized view public.kept",
        "SELECT count(*) FROM public.kept",
        "DROP MATERIALIZED VIEW public.kept",
    ),
    (
        "CREATE FUNCTION public.every() RETURNS SETOF balances.balances LANGUAGE sql AS 'SELECT * FROM balances.balances'",
        "function public.every()",
        "SELECT count(*) FROM public.every()",
        "DROP FUNCTION public.every",
    ),
    (
        "CREATE FUNCTION public.many() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM balances.balances; END",
        "function public.many()",
        "SELECT public.many()",
        "DROP FUNCTION public.many",
    ),
    (
        "CREATE TABLE public.notes (note text, about balances.balances);
         INSERT INTO public.notes SELECT 'n', b FROM balances.balances b",
        "table column public.notes.about",
        "SELECT count((about).key) FROM public.notes",
        "DROP TABLE public.notes",
    ),
    (
        "CREATE TABLE public.lists (of balances.balances[]); INSERT INTO public.lists SELECT array_agg(b) FROM balances.balances b",
        "table column public.lists.of",
        "SELECT array_length(l.of, 1) FROM public.lists l",
        "DROP TABLE public.lists",
    ),
    (
        "CREATE TABLE public.orders (account text CONSTRAINT owned REFERENCES balances.balances)",
        "table constraint owned on public.orders",
        "SELECT 5 FROM pg_constraint WHERE conname = 'owned'",
        "DROP TABLE public.orders",
    ),
    (
        "CREATE STATISTICS public.together (dependencies) ON key, (state->>'amount') FROM balances.balances",
        "statistics object public.together",
        "SELECT 5 FROM pg_statistic_ext WHERE stxname = 'together'",
        "DROP STATISTICS public.together",
    ),
    (
        "CREATE TABLE public.more () INHERITS (balances.balances)",
        "table public.more",
        "SELECT count(*) + 5 FROM public.more",
        "DROP TABLE public.more",
    ),
    (
        "CREATE FUNCTION public.shown(balances.balances) RETURNS text LANGUAGE sql RETURN ($1).key;
         CREATE CAST (balances.balances AS text) WITH FUNCTION public.shown(balances.balances)",
        "cast ",
        "SELECT 5 FROM pg_cast WHERE castfunc = 'public.shown(balances__standby.balances)'::regprocedure",
        "DROP FUNCTION public.shown CASCADE",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_leans_on_a_read_model_is_dropped_with_it() {
    let (bank, running) = Bank::with_balances().await;
    for (make, ..) in LEANING {
        bank.run(make).await;
    }
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
    bank.status_when(&running, follows).await;
    // The membership of a table that is not live any more: somebody wants it.
    bank.run("CREATE PUBLICATION former FOR TABLE balances__standby.balances").await;
    let discard = || async { running.handle().discard_standby("balances", "").await };
    let again =
        || async { running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await };
    for refused in [discard().await, again().await] {
        let refused = refused.unwrap_err().to_string();
        for name in LEANING
            .iter()
            .map(|(_, name, ..)| *name)
            .chain(["balances__standby.balances in publication former"])
        {
            assert!(refused.contains(name), "{name} is not in: {refused}");
        }
        for part in ["_pkey", "pg_toast", "default acl"] {
            assert!(!refused.contains(part), "a part of the read model itself: {refused}");
        }
    }
    for (_, name, count, drop) in LEANING {
        let count = bank.number(&format!("SELECT ({count})::bigint")).await;
        assert_eq!(count, 5, "{name} is as it was");
        assert!(discard().await.unwrap_err().to_string().contains(name), "{name}");
        bank.run(drop).await;
    }
    discard().await.unwrap_err();
    bank.run("DROP PUBLICATION former").await;
    discard().await.unwrap();
    running.shut_down().await;
}

/// What a user makes in the read model's own schema, and how the refusal names it.
const WITHIN: &[(&str, &str)] = &[
    (
        "CREATE TABLE balances.notes (id serial, note text); INSERT INTO balances.notes VALUES (1, 'n')",
        "table notes",
    ),
    ("CREATE TABLE balances.years (year int) PARTITION BY LIST (year)", "table years"),
    ("CREATE VIEW balances.names AS SELECT key FROM balances.balances", "view names"),
    ("CREATE MATERIALIZED VIEW balances.kept AS SELECT key FROM balances.balances", "materialized view kept"),
    (
        "CREATE FUNCTION balances.key_of(balances.balances) RETURNS text LANGUAGE sql RETURN ($1).key",
        "function key_of(balances)",
    ),
    ("CREATE TYPE balances.kind AS ENUM ('a')", "type kind"),
    ("CREATE TYPE balances.pair AS (a int, b int)", "type pair"),
    (
        "CREATE ROLE {role}; CREATE TABLE balances.foreign_notes (note text); ALTER TABLE balances.foreign_notes OWNER TO {role}",
        "table foreign_notes",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_in_the_schema_of_a_read_model_is_not_dropped_with_it() {
    let (bank, running) = Bank::with_balances().await;
    let role = format!("other_{}", uuid::Uuid::new_v4().simple());
    for (make, _) in WITHIN {
        bank.run(&make.replace("{role}", &role)).await;
    }
    // What a rebuild in place finds in the schema does not become the projection's own.
    bank.run("DROP VIEW balances.names; DROP MATERIALIZED VIEW balances.kept; DROP FUNCTION balances.key_of")
        .await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    for (make, name) in WITHIN {
        if ["view names", "materialized view kept", "function key_of(balances)"].contains(name) {
            bank.run(make).await;
        }
    }
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
    bank.status_when(&running, follows).await;
    let discard = running.handle().discard_standby("balances", "").await;
    let again = running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await;
    for refused in [discard, again] {
        let refused = refused.unwrap_err().to_string();
        for (_, name) in WITHIN {
            assert!(refused.contains(name), "{name} is not in: {refused}");
        }
        assert!(!refused.contains("table balances,") && !refused.contains("sequence"), "its own: {refused}");
    }
    assert_eq!(bank.number("SELECT count(*) FROM balances__standby.notes").await, 1);
    bank.run(
        "ALTER TABLE balances__standby.notes SET SCHEMA public; DROP TABLE balances__standby.years;
         DROP VIEW balances__standby.names; DROP MATERIALIZED VIEW balances__standby.kept;
         DROP FUNCTION balances__standby.key_of; DROP TYPE balances__standby.kind, balances__standby.pair;
         DROP TABLE balances__standby.foreign_notes",
    )
    .await;
    running.handle().discard_standby("balances", "").await.unwrap();
    assert_eq!(bank.number("SELECT count(*) FROM public.notes").await, 1);
    bank.run(&format!("DROP ROLE {role}")).await;
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_role_in_the_schema_is_named_and_not_a_missing_right() {
    let bank = Bank::new().await;
    bank.deposit_to_many(5).await;
    let name = bank.url().rsplit('/').next().unwrap().to_owned();
    let (owner, other) = (format!("{name}_projector"), format!("{name}_other"));
    bank.run(&format!(
        "CREATE ROLE {owner} LOGIN; CREATE ROLE {other}; GRANT CREATE ON DATABASE \"{name}\" TO {owner}"
    ))
    .await;
    let separator = if bank.url().contains('?') { '&' } else { '?' };
    let database = Database::connect(&format!("{}{separator}user={owner}", bank.url())).await.unwrap();
    let mut projector = Projector::new(bank.log.clone());
    projector.fold(Balances::default(), database, Settings::default()).unwrap();
    let running = projector.start();
    bank.caught_up(&running).await;
    assert_eq!(
        bank.number(&format!(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'balances' AND tableowner = '{owner}'"
        ))
        .await,
        1
    );
    bank.run(&format!(
        "CREATE TABLE balances.notes (note text); ALTER TABLE balances.notes OWNER TO {other}"
    ))
    .await;
    running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
    bank.status_when(&running, follows).await;
    let refused = running.handle().discard_standby("balances", "").await.unwrap_err().to_string();
    assert!(refused.contains("table notes") && !refused.contains("permission"), "{refused}");
    bank.run("DROP TABLE balances__standby.notes").await;
    running.handle().discard_standby("balances", "").await.unwrap();
    running.shut_down().await;
    bank.run(&format!("DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}, {other}")).await;
}

/// What an administrator attaches, and a query that gives 1 where the live read model has it.
const ATTACHED: &[(&str, &str)] = &[
    (
        "COMMENT ON SCHEMA balances IS 'it''s all'",
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'balances' AND obj_description(oid, 'pg_namespace') = 'it''s all'",
    ),
    (
        "COMMENT ON TABLE balances.balances IS 'by account'",
        "SELECT (obj_description('balances.balances'::regclass, 'pg_class') = 'by account')::int::bigint",
    ),
    (
        "COMMENT ON COLUMN balances.balances.state IS 'in cents'",
        "SELECT (col_description('balances.balances'::regclass, 2) = 'in cents')::int::bigint",
    ),
    (
        "ALTER TABLE balances.balances ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON balances.balances FOR SELECT TO PUBLIC
            USING (key = current_setting('app.account', true) AND EXISTS (SELECT FROM balances.balances b WHERE b.key = 'x'))",
        "SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = polrelid
         WHERE c.oid = 'balances.balances'::regclass AND polname = 'own' AND relrowsecurity AND polcmd = 'r'
            AND (SELECT count(*) FROM pg_policies WHERE schemaname = 'balances' AND qual LIKE '%FROM balances.balances b%') = 1",
    ),
    (
        "ALTER TABLE balances.balances ALTER COLUMN key SET STATISTICS 500, ALTER COLUMN key SET (n_distinct = -1)",
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'balances.balances'::regclass AND attstattarget = 500
            AND attoptions = '{n_distinct=-1}'",
    ),
    (
        "ALTER TABLE balances.balances SET (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 90, toast.autovacuum_enabled = false)",
        "SELECT count(*) FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
         WHERE c.oid = 'balances.balances'::regclass AND c.reloptions @> '{autovacuum_vacuum_scale_factor=0.01,fillfactor=90}'
            AND t.reloptions @> '{autovacuum_enabled=false}'",
    ),
    (
        "ALTER TABLE balances.balances REPLICA IDENTITY USING INDEX balances_pkey",
        "SELECT count(*) FROM pg_class WHERE oid = 'balances.balances'::regclass AND relreplident = 'i'",
    ),
    (
        "CREATE PUBLICATION part FOR TABLE balances.balances (key, state) WHERE (key <> 'secret')",
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = 'part' AND schemaname = 'balances'
            AND attnames = '{key,state}' AND rowfilter LIKE '%secret%'",
    ),
    (
        "CREATE PUBLICATION whole FOR TABLES IN SCHEMA balances",
        "SELECT count(*) FROM pg_publication_tables WHERE pubname = 'whole' AND schemaname = 'balances'",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_administrators_attach_stays_with_the_live_read_model() {
    let (bank, running) = Bank::with_balances().await;
    for (attach, _) in ATTACHED {
        bank.run(attach).await;
    }
    let check = |when: &'static str| {
        let bank = &bank;
        async move {
            for (attach, query) in ATTACHED {
                assert_eq!(bank.number(query).await, 1, "{when}: {attach}");
            }
            let elsewhere = "SELECT count(*) FROM pg_publication_tables WHERE schemaname <> 'balances'";
            assert_eq!(bank.number(elsewhere).await, 0, "{when}: the standby is in no publication");
        }
    };
    check("at first").await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    check("rebuilt in place").await;
    for when in ["swapped", "swapped again"] {
        let before = bank.number("SELECT count(*) FROM ees.audit WHERE action = 'swap'").await;
        running.handle().rebuild_side_by_side("balances", SideBySide::default(), "").await.unwrap();
        crate::support::until(when, crate::support::LONG, || async {
            bank.number("SELECT count(*) FROM ees.audit WHERE action = 'swap'").await > before
        })
        .await;
        check(when).await;
    }
    // Such as a backup: it prevents whatever needs the table for itself.
    let mut reader = sqlx::PgConnection::connect(bank.url()).await.unwrap();
    let read = "BEGIN; SELECT FROM balances.balances; SELECT FROM balances__standby.balances";
    sqlx::raw_sql(read).execute(&mut reader).await.unwrap();
    running.handle().rollback("balances", false, "with an open reader").await.unwrap();
    check("rolled back with an open reader").await;
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    bank.run("DROP POLICY own ON balances.balances; CREATE POLICY own ON balances.balances FOR SELECT USING (false)").await;
    running.handle().rollback("balances", false, "back").await.unwrap();
    let closed = "SELECT count(*) FROM pg_policies WHERE schemaname = 'balances' AND qual = 'false'";
    assert_eq!(bank.number(closed).await, 1, "the live one's policy holds after a rollback");
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_swap_leaves_behind_is_said_before_it() {
    let (bank, running) = Bank::with_balances().await;
    bank.run(
        "CREATE INDEX by_amount ON balances.balances ((state->>'amount'));
         ALTER TABLE balances.balances ADD COLUMN hint text NOT NULL DEFAULT 'h';
         ALTER TABLE balances.balances ALTER COLUMN state SET DEFAULT '{}';
         CREATE FUNCTION public.noticed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER noticed AFTER INSERT ON balances.balances FOR EACH ROW EXECUTE FUNCTION public.noticed();
         CREATE VIEW balances.names AS SELECT key FROM balances.balances;
         CREATE VIEW public.rich AS SELECT key FROM balances.balances",
    )
    .await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("balances", only_built, "").await.unwrap();
    let is_complete = |status: &Status| {
        status.standby.as_ref().is_some_and(|it| it.checkpoint.get() == 5 && it.rebuild.is_none())
    };
    let status = bank.status_when(&running, is_complete).await;
    let expected = [
        "view public.rich",
        "column balances.hint",
        "default of column balances.state",
        "index by_amount",
        "trigger noticed of balances",
        "view names",
    ];
    assert_eq!(status.standby.unwrap().plan.left_behind, expected);
    running.handle().swap("balances", false, "").await.unwrap();
    let audit = running.handle().audit("balances", 1).await.unwrap().remove(0);
    assert!(expected.iter().all(|what| audit.detail.contains(what)), "{}", audit.detail);
    let status = bank.status_when(&running, follows).await;
    assert_eq!(status.standby.unwrap().plan.left_behind, expected, "also afterwards");
    running.shut_down().await;
}

/// What a user adds to the tables, how it is named, and a query that gives 1 where it is there.
const ADDED: &[(&str, &str, &str)] = &[
    (
        "CREATE INDEX by_amount ON balances.balances ((state->>'amount')) WITH (fillfactor = 80);
         COMMENT ON INDEX balances.by_amount IS 'for the report'",
        "index by_amount",
        "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_amount' AND indexdef LIKE '%amount%fillfactor%80%'
            AND obj_description('balances.by_amount'::regclass) = 'for the report'",
    ),
    (
        "ALTER TABLE balances.balances ADD CONSTRAINT once UNIQUE (key) INCLUDE (state)",
        "index once",
        "SELECT count(*) FROM pg_constraint WHERE conname = 'once' AND contype = 'u'",
    ),
    (
        "ALTER TABLE balances.balances ADD CONSTRAINT short CHECK (length(key) < 100)",
        "constraint short of balances",
        "SELECT count(*) FROM pg_constraint WHERE conname = 'short' AND convalidated",
    ),
    (
        "CREATE TABLE public.accounts (key text PRIMARY KEY);
         INSERT INTO public.accounts SELECT key FROM balances.balances;
         ALTER TABLE balances.balances ADD CONSTRAINT known FOREIGN KEY (key) REFERENCES public.accounts",
        "constraint known of balances",
        "SELECT count(*) FROM pg_constraint WHERE conname = 'known' AND confrelid = 'public.accounts'::regclass",
    ),
    (
        "CREATE STATISTICS balances.together ON key, (length(key)) FROM balances.balances",
        "statistics together",
        "SELECT count(*) FROM pg_statistic_ext WHERE stxname = 'together'",
    ),
    (
        "CREATE TABLE public.noted (key text);
         CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.noted VALUES (NEW.key); RETURN NULL; END';
         CREATE TRIGGER noticed AFTER INSERT ON balances.balances FOR EACH ROW EXECUTE FUNCTION public.note()",
        "trigger noticed of balances",
        "SELECT (count(*) = 5)::int::bigint FROM public.noted",
    ),
    (
        "CREATE TRIGGER silent AFTER INSERT ON balances.balances FOR EACH ROW EXECUTE FUNCTION public.note();
         ALTER TABLE balances.balances DISABLE TRIGGER silent",
        "trigger silent of balances",
        "SELECT count(*) FROM pg_trigger WHERE tgname = 'silent' AND tgenabled = 'D'",
    ),
    (
        "ALTER TABLE balances.balances ALTER COLUMN state SET DEFAULT '{}'",
        "default of column balances.state",
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'balances' AND column_default LIKE '%{}%'",
    ),
    (
        "ALTER TABLE balances.balances OWNER TO pg_database_owner",
        "owner of table balances",
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'balances' AND tableowner = 'pg_database_owner'",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_others_added_to_the_tables_is_made_again_by_a_rebuild_in_place() {
    let (bank, running) = Bank::with_balances().await;
    for (add, ..) in ADDED {
        bank.run(add).await;
    }
    // A table of their own stays, and its trigger with it.
    bank.run(
        "CREATE TABLE balances.notes (key text DEFAULT 'k');
         CREATE TRIGGER kept AFTER INSERT ON balances.notes FOR EACH ROW EXECUTE FUNCTION public.note()",
    )
    .await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    for (add, name, query) in ADDED {
        assert_eq!(bank.number(query).await, 1, "{name}: {add}");
    }
    let audit = running.handle().audit("balances", 1).await.unwrap().remove(0);
    let replayed = "; made again before the replay: trigger noticed of balances, trigger silent of balances";
    assert!(audit.detail.ends_with(replayed), "{}", audit.detail);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_in_place_that_would_drop_what_others_added_is_refused_unless_it_is_forced() {
    let (bank, running) = Bank::with_balances().await;
    for (add, ..) in ADDED {
        bank.run(add).await;
    }
    let column = "ALTER TABLE balances.balances ADD COLUMN hint text DEFAULT 'h';
        CREATE INDEX by_hint ON balances.balances (hint)";
    let can_not = [
        "column balances.hint",
        "index by_hint",
        // It may use the column, which would show only when it runs.
        "trigger noticed of balances",
        "trigger silent of balances",
    ];
    bank.run(column).await;
    let refused = running.handle().rebuild("balances", "").await.unwrap_err();
    let OperateError::WouldDrop { objects } = &refused else { panic!("{refused}") };
    assert_eq!(objects.split(", ").collect::<Vec<_>>(), can_not);
    assert_eq!(bank.number("SELECT count(*) FROM balances.balances WHERE hint = 'h'").await, 5);
    assert_eq!(running.handle().audit("balances", 1).await.unwrap(), []);

    let forced = InPlace { force: true, ..InPlace::default() };
    running.handle().rebuild_in_place("balances", forced, "").await.unwrap();
    bank.caught_up(&running).await;
    let audit = running.handle().audit("balances", 1).await.unwrap().remove(0);
    assert!(audit.detail.ends_with(&format!("; dropped: {}", can_not.join(", "))), "{}", audit.detail);
    let made_again = ADDED.iter().filter(|(_, name, _)| !can_not.contains(name));
    for (_, name, query) in made_again.clone() {
        assert_eq!(bank.number(query).await, 1, "{name}");
    }
    running.shut_down().await;

    // Nobody is asked when the version rises.
    bank.run(column).await;
    let running = bank.start(Balances { version: 2, ..Balances::default() }, Settings::default()).await;
    bank.caught_up(&running).await;
    assert_eq!(bank.total(&bank.connect().await).await, 5);
    for (_, name, query) in made_again {
        assert_eq!(bank.number(query).await, 1, "{name}");
    }
    let audit = running.handle().audit("balances", 1).await.unwrap().remove(0);
    assert!(audit.action == "new_version" && audit.detail.contains("dropped: column"), "{audit:?}");
    running.shut_down().await;
}

/// Makes a partition for each account when it sees the account.
struct Partitioned;

impl Projection<Tx> for Partitioned {
    type Event = IgnoredAny;
    fn name(&self) -> &str {
        "balances"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let table = "CREATE TABLE events (account text NOT NULL, number serial, note text) PARTITION BY LIST (account)";
        sqlx::raw_sql(table).execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE events").execute(tx.connection()).await?;
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, IgnoredAny>, tx: &mut Tx) -> Result<(), BoxError> {
        let account = event.stream_id().as_str();
        let table = format!(
            "CREATE TABLE \"{account}\" PARTITION OF events (CHECK (number > 0)) FOR VALUES IN ('{account}');
             CREATE INDEX ON \"{account}\" (number); INSERT INTO events VALUES ('{account}')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(tx.connection()).await?;
        Ok(())
    }
}

/// A bank with five deposits, and [`Partitioned`], caught up.
async fn with_partitioned() -> (Bank, Running) {
    let bank = Bank::new().await;
    bank.deposit_to_many(5).await;
    let mut projector = Projector::new(bank.log.clone());
    projector.projection(Partitioned, bank.connect().await, Settings::default()).unwrap();
    let running = projector.start();
    bank.caught_up(&running).await;
    (bank, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_projection_makes_while_it_applies_do_not_prevent_its_rebuild() {
    let (bank, running) = with_partitioned().await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    assert_eq!(bank.number("SELECT count(*) FROM balances.events").await, 5);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_and_not_null_of_others_are_set_again_by_a_rebuild_in_place() {
    let (bank, running) = with_partitioned().await;
    bank.run(
        "ALTER TABLE balances.events ALTER COLUMN note SET DEFAULT 'none';
         UPDATE balances.events SET note = DEFAULT; ALTER TABLE balances.events ALTER COLUMN note SET NOT NULL",
    )
    .await;
    running.handle().rebuild("balances", "").await.unwrap();
    bank.caught_up(&running).await;
    assert_eq!(bank.number("SELECT count(*) FROM balances.events WHERE note = 'none'").await, 5);
    let not_null = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'balances.events'::regclass AND attname = 'note' AND attnotnull";
    assert_eq!(bank.number(not_null).await, 1);
    let audit = running.handle().audit("balances", 1).await.unwrap().remove(0);
    assert!(!audit.detail.contains("dropped"), "{}", audit.detail);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_prevents_a_rebuild_in_place_is_named() {
    let (bank, running) = Bank::with_balances().await;
    bank.run("CREATE VIEW public.rich AS SELECT key FROM balances.balances").await;
    let refused = running.handle().rebuild("balances", "").await.unwrap_err().to_string();
    assert!(refused.contains("view rich depends on table") && !refused.contains("at line"), "{refused}");
    assert_eq!(bank.number("SELECT count(*) FROM public.rich").await, 5);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_says_that_streams_are_parked() {
    let bank = Bank::new().await;
    bank.deposit_to_many(5).await;
    crate::support::append(&bank.log, "account-1", r#"{"type":"deposited","amount":"much"}"#).await;
    let parks = Settings { on_failure: OnFailure::Park(Parking::default()), ..crate::support::hasty() };
    let running = bank.start(Balances::default(), parks).await;
    bank.caught_up(&running).await;
    let refused = running.handle().verify("balances").await.unwrap_err().to_string();
    assert!(refused.starts_with("streams are parked (1)") && refused.contains("expected i64"), "{refused}");
    running.shut_down().await;

    // One that the code could apply by now.
    let (bank, running) = Bank::with_balances().await;
    bank.run(
        "INSERT INTO ees.parked_streams VALUES ('balances', 'account-1', 1, 'e', 1, 9000000000000000);
         INSERT INTO ees.parked_changesets VALUES ('balances', 'account-1', 1, 1)",
    )
    .await;
    let verified = running.handle().verify("balances").await.unwrap();
    assert_eq!((verified.parked_streams, verified.rows), (1, 5));
    running.shut_down().await;
}
