"""The Python library eventsourcing with its PostgreSQL module, in threads.

An application has a method that gets the aggregate from the repository, triggers its events and saves it; the unique key
(originator_id, originator_version) checks the version, and inserts take a lock of the table, so that notification ids have
no gaps. The read model is a `PostgresTrackingRecorder` behind a `ProjectionRunner` (LISTEN and NOTIFY), with the upsert and
the tracking id of an event in one transaction: exactly once. Live, the runner is another process, as in production.

- `default`: the default settings.
- `database-functions`: with POSTGRES_ENABLE_DB_FUNCTIONS, which inserts by a function in the database.
"""

import os
import subprocess
import sys
import time
import uuid
from urllib.parse import urlsplit

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner

import workload

NOTIFICATIONS_A_PAGE = 500
FOLLOW = "follow"


class Account(Aggregate):
    @event("Opened")
    def __init__(self, account_id: str, amount: int, currency: str, seq: int, memo: str) -> None:
        self.balance = amount

    @event("Moved")
    def move(self, account_id: str, amount: int, currency: str, seq: int, memo: str) -> None:
        self.balance += amount

    @staticmethod
    def create_id(account_id: str) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_OID, account_id)


class Accounts(Application):
    name = "accounts"

    def move(self, stream, version, payloads):
        if version == 0:
            account, moves = Account(**payloads[0]), payloads[1:]
        else:
            account, moves = self.repository.get(Account.create_id(payloads[0]["account_id"])), payloads
            assert account.version == version, f"{account.version} events, not {version}"
        for payload in moves:
            account.move(**payload)
        self.save(account)


class AccountTable(PostgresTrackingRecorder):
    def apply(self, account, amount, tracking):
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(workload.UPSERT, (account, amount, tracking.notification_id), prepare=True)


class AccountProjection(Projection[AccountTable]):
    name = "accountprojection"

    def process_event(self, event, tracking):
        self.view.apply(event.account_id, event.amount, tracking)


def environment(connections):
    url = urlsplit(workload.DATABASE)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.path.lstrip("/"),
        "POSTGRES_HOST": url.hostname,
        "POSTGRES_PORT": str(url.port),
        "POSTGRES_USER": url.username,
        "POSTGRES_PASSWORD": url.password or "none",
        "POSTGRES_POOL_SIZE": str(connections),
        "POSTGRES_MAX_OVERFLOW": "4",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if workload.USAGE == "database-functions" else "no",
    }


def application():
    """Its connections are opened before the clock starts."""
    app = Accounts(environment(workload.CLIENTS))
    app.factory.datastore.pool.resize(workload.CLIENTS, workload.CLIENTS + 4)
    app.factory.datastore.pool.wait(60)
    return app


def runner():
    return ProjectionRunner(
        application_class=Accounts, projection_class=AccountProjection, view_class=AccountTable, env=environment(5)
    )


def append():
    app = application()
    figures = workload.append(app.move)
    stored, = workload.query("SELECT count(*) FROM accounts_events")
    return {**figures, "stored": stored}


def catch_up():
    workload.query(workload.ACCOUNT)
    begun = time.perf_counter()
    with runner() as running:
        try:
            running.wait(workload.EVENTS, timeout=workload.SECONDS)
        except TimeoutError:
            pass  # The table says how far this has come.
        seconds = time.perf_counter() - begun
        view = workload.view()
    return {"events": view["events"], "seconds": seconds, "view": view}


def live():
    workload.query(workload.ACCOUNT)
    app = application()
    following = subprocess.Popen([sys.executable, __file__, FOLLOW, workload.USAGE], stdout=subprocess.PIPE)
    following.stdout.readline()  # It has begun.
    try:
        figures = workload.live(app.move)
    finally:
        following.kill()
    return {**figures, "view": workload.view()}


def follow():
    with runner() as running:
        print("following", flush=True)
        running.run_forever()


def read():
    app = application()

    def events(stream):
        return sum(1 for _ in app.events.get(Account.create_id(workload.account_id(stream))))

    return workload.read(events)


def enumerate_log():
    app = application()
    begun = time.perf_counter()
    events, last = 0, None
    while True:
        page = app.recorder.select_notifications(start=last, limit=NOTIFICATIONS_A_PAGE, inclusive_of_start=False)
        if not page:
            return {"events": events, "seconds": time.perf_counter() - begun}
        for notification in page:
            app.mapper.to_domain_event(notification)
        events += len(page)
        last = page[-1].id


PARTS = {"append": append, "catch-up": catch_up, "live": live, "read": read, "enumerate": enumerate_log}

if workload.PART == FOLLOW:
    follow()
else:
    workload.report(**PARTS[workload.PART]())
    # Threads of pools that nobody needs any more.
    os._exit(0)
