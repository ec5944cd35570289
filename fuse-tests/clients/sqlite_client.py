"""SQLite as a client of a volume: one transaction a record, by several processes at once.

The mode is the journal mode, with `-mmap` behind it for reading through a mapping.
"""

import os
import sqlite3
import time

from embedded import LOOK_EVERY, acknowledge, fail, main, text_of

PARTS = 7
# Seconds that a process waits for others to let go of the database.
PATIENCE = 60
MAPPED = 1 << 28

SCHEMA = f"""
create table if not exists part(id integer primary key);
create table if not exists record(
    n integer primary key,
    part integer not null references part(id),
    size integer not null,
    text text not null,
    touched integer not null
);
create index if not exists record_text on record(text);
create table if not exists total(
    part integer primary key references part(id), rows integer not null, bytes integer not null
);
insert or ignore into part values {",".join(f"({part})" for part in range(PARTS))};
insert or ignore into total select id, 0, 0 from part;
"""


def database(folder):
    return os.path.join(folder, "file.db")


def set_journal_mode(connection, journal):
    """Asks again while another process does the same to a new database: SQLite takes the lock
    for this change without its busy handler (on ext4 too, in 1 of 150 starts of four processes).
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return connection.execute(f"pragma journal_mode={journal}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def connect(path, mode):
    journal, _, mapped = mode.partition("-")
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    found = set_journal_mode(connection, journal)
    if found != journal:
        fail(f"the journal mode is {found}, asked for {journal}")
    # FULL does not sync the folder behind a removed rollback journal, on any filesystem.
    connection.execute("pragma synchronous=extra")
    connection.execute("pragma foreign_keys=on")
    size = connection.execute(f"pragma mmap_size={MAPPED if mapped else 0}").fetchone()[0]
    if mapped and size == 0:
        fail("this SQLite does not map files")
    # Small, so that pages come from the file and not from the process.
    connection.execute("pragma cache_size=50")
    return connection


def look(connection):
    """Everything as one reader sees it, in one moment; returns the last record."""
    connection.execute("begin")
    last = 0
    totals = [[0, 0] for _ in range(PARTS)]
    touched = {}
    for n, part, size, text, mark in connection.execute(
        "select n, part, size, text, touched from record order by n"
    ):
        last += 1
        if n != last:
            fail(f"record {last} is missing")
        if text != text_of(n) or size != len(text) or part != n % PARTS:
            fail(f"record {n} is damaged")
        totals[part][0] += 1
        totals[part][1] += size
        touched[n] = mark
    for n, mark in touched.items():
        # Record m touches record m // 2 + 1.
        expected = max((m for m in (2 * n - 2, 2 * n - 1) if 1 <= m <= last), default=0)
        if mark != expected:
            fail(f"record {n} was touched by {mark}, not by {expected}")
    found = connection.execute("select rows, bytes from total order by part").fetchall()
    if [list(row) for row in found] != totals:
        fail("the totals do not fit the records")
    indexed = "select count(*) from record indexed by record_text"
    if connection.execute(indexed).fetchone()[0] != last:
        fail("the index does not fit the table")
    connection.execute("commit")
    return last


def sound(connection):
    """What SQLite itself finds wrong."""
    for check in ("integrity_check", "foreign_key_check"):
        problems = [row for row in connection.execute(f"pragma {check}") if row != ("ok",)]
        if problems:
            fail(f"{check}: {problems}")


def append(connection):
    connection.execute("begin immediate")
    n = connection.execute("select coalesce(max(n), 0) + 1 from record").fetchone()[0]
    text = text_of(n)
    connection.execute(
        "insert into record values(?, ?, ?, ?, 0)", (n, n % PARTS, len(text), text)
    )
    connection.execute(
        "update total set rows = rows + 1, bytes = bytes + ? where part = ?",
        (len(text), n % PARTS),
    )
    connection.execute("update record set touched = ? where n = ?", (n, n // 2 + 1))
    connection.execute("commit")
    return n


def write(folder, mode, last="inf"):
    connection = connect(database(folder), mode)
    connection.executescript("begin immediate;" + SCHEMA + "commit;")
    n = 0
    while n < float(last):
        n = append(connection)
        acknowledge("durable", n)
        if n % LOOK_EVERY == 0:
            look(connection)
    connection.close()


def check(folder, mode):
    """Both through a mapping and without, which must show the same."""
    connection = connect(database(folder), mode)
    sound(connection)
    last = look(connection)
    connection.execute(f"pragma mmap_size={0 if 'mmap' in mode else MAPPED}")
    if look(connection) != last:
        fail("reads through a mapping differ from others")
    print(last)


def backup(folder, mode, target):
    """Copies the database while others write to it, checks the copy, prints its last record.

    In one step: what other processes commit between two steps makes a backup start again.
    """
    source = connect(database(folder), mode)
    copy = sqlite3.connect(target, isolation_level=None)
    source.backup(copy)
    sound(copy)
    print(look(copy))


main({"write": write, "check": check, "backup": backup})
