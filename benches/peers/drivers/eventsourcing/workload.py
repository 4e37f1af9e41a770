"""What `workload/` is for the drivers in Rust, where each part is explained."""

import json
import math
import os
import sys
import threading
import time

import psycopg

EVENTS_AN_APPEND = 2
EVENT_BYTES = 200
APPENDS_A_SECOND = 50
LOOK_PAUSE_SECONDS = 0.00025
PATIENCE_SECONDS = 10

PART, USAGE = sys.argv[1:3]
DATABASE = os.environ["PEERS_DATABASE"]
CLIENTS = int(os.environ["PEERS_CLIENTS"])
SECONDS = float(os.environ["PEERS_SECONDS"])
EVENTS = int(os.environ["PEERS_EVENTS"])
STREAMS = int(os.environ["PEERS_STREAMS"])
APPENDS = EVENTS // EVENTS_AN_APPEND
EVENTS_A_STREAM = EVENTS // STREAMS

ACCOUNT = """CREATE TABLE account (id text PRIMARY KEY, balance bigint NOT NULL, event_count bigint NOT NULL,
    last_event_id bigint NOT NULL)"""
UPSERT = """INSERT INTO account AS a (id, balance, event_count, last_event_id) VALUES (%s, %s, 1, %s)
    ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance, event_count = a.event_count + 1,
    last_event_id = excluded.last_event_id"""
SUMS = "SELECT count(*), coalesce(sum(event_count), 0)::bigint, coalesce(sum(balance), 0)::bigint FROM account"


def account_id(stream):
    return f"account-{stream:06d}"


def stream_of(append):
    return append * 7919 % STREAMS


def version_of(append):
    return EVENTS_AN_APPEND * (append // STREAMS)


def payload(account, seq):
    amount = seq * 37 % 1000 - 300
    payload = {"account_id": account, "amount": amount, "currency": "EUR", "seq": seq, "memo": ""}
    bytes_so_far = len(json.dumps(payload, separators=(",", ":")))
    payload["memo"] = "m" * max(0, EVENT_BYTES - bytes_so_far)
    return payload


def payloads(stream, append):
    first = append * EVENTS_AN_APPEND
    return [payload(account_id(stream), first + n) for n in range(EVENTS_AN_APPEND)]


def query(sql):
    with psycopg.connect(DATABASE, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone() if cursor.description else None


def view():
    rows, events, balance = query(SUMS)
    return {"rows": rows, "events": events, "balance": balance}


def percentiles(times):
    times = sorted(times)

    def within_ms(share):
        return times[max(0, math.ceil(len(times) * share) - 1)] * 1e3

    return {"p50_ms": within_ms(0.5), "p99_ms": within_ms(0.99)} if times else {}


def report(**figures):
    print(json.dumps(figures), flush=True)


def in_threads(work):
    """Runs `work(number)` in a thread for each client; returns what they return."""
    results, failures = [None] * CLIENTS, []

    def run(number):
        try:
            results[number] = work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def append(writer):
    """`writer(stream, version, payloads)` appends."""
    begun = time.perf_counter()

    def write(number):
        times, balance = [], 0
        for append in range(APPENDS):
            stream = stream_of(append)
            if stream % CLIENTS != number:
                continue
            called = time.perf_counter()
            if called >= begun + SECONDS:
                break
            events = payloads(stream, append)
            balance += sum(event["amount"] for event in events)
            writer(stream, version_of(append), events)
            times.append(time.perf_counter() - called)
        return times, balance

    written = in_threads(write)
    seconds = time.perf_counter() - begun
    times = [time for of_one, _ in written for time in of_one]
    balance = sum(balance for _, balance in written)
    return {"events": len(times) * EVENTS_AN_APPEND, "seconds": seconds, "balance": balance, **percentiles(times)}


def live(writer):
    """How soon the table shows what was appended."""
    count = min(int(SECONDS * APPENDS_A_SECOND), STREAMS)
    awaited, lock, times, ended = {}, threading.Lock(), [], threading.Event()
    look = "SELECT id FROM account WHERE id = ANY(%s) AND event_count >= %s"

    def watch():
        progress = time.perf_counter()
        with psycopg.connect(DATABASE, autocommit=True) as connection:
            while True:
                over = ended.is_set()
                with lock:
                    accounts = list(awaited)
                if accounts:
                    rows = connection.execute(look, (accounts, EVENTS_AN_APPEND), prepare=True).fetchall()
                    at = time.perf_counter()
                    with lock:
                        times.extend(at - awaited.pop(account) for (account,) in rows)
                    if rows:
                        progress = at
                    if at - progress > PATIENCE_SECONDS:
                        return
                elif over:
                    return
                else:
                    progress = time.perf_counter()
                time.sleep(LOOK_PAUSE_SECONDS)

    watching = threading.Thread(target=watch)
    watching.start()
    begun, balance = time.perf_counter(), 0
    for stream in range(count):
        time.sleep(max(0, begun + stream / APPENDS_A_SECOND - time.perf_counter()))
        events = payloads(stream, stream)
        balance += sum(event["amount"] for event in events)
        writer(stream, 0, events)
        with lock:
            awaited[account_id(stream)] = time.perf_counter()
    ended.set()
    watching.join()
    seconds = time.perf_counter() - begun
    seen, appended = len(times) * EVENTS_AN_APPEND, count * EVENTS_AN_APPEND
    return {"events": seen, "seconds": seconds, "appended": appended, "balance": balance, **percentiles(times)}


def read(reader):
    """`reader(stream)` reads a stream and returns how many events it has."""
    begun = time.perf_counter()

    def read_on(number):
        times, n = [], number
        while (called := time.perf_counter()) < begun + SECONDS:
            events = reader(stream_of(n))
            assert events == EVENTS_A_STREAM, f"{events} events in stream {stream_of(n)}"
            times.append(time.perf_counter() - called)
            n += CLIENTS
        return times

    times = [time for of_one in in_threads(read_on) for time in of_one]
    seconds = time.perf_counter() - begun
    return {"events": len(times) * EVENTS_A_STREAM, "seconds": seconds, "calls": len(times), **percentiles(times)}
