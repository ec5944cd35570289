"""Inserts for some seconds, each in a transaction of its own that is synced.

Arguments: database, which does not exist; journal mode; seconds. Prints JSON: the seconds that it
took, and of each commit the microseconds.
"""

import json
import os
import sqlite3
import sys
import time

# Of random bytes; written as digits they take twice that, and can be compressed to half.
RECORD_BYTES = 512

path, journal, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
connection = sqlite3.connect(path, isolation_level=None)
found = connection.execute(f"pragma journal_mode={journal}").fetchone()[0]
if found != journal:
    sys.exit(f"the journal mode is {found}, asked for {journal}")
connection.execute("pragma synchronous=full")
connection.execute("create table record(n integer primary key, text text not null)")
commits = []
start = now = time.perf_counter()
while now - start < seconds:
    text = os.urandom(RECORD_BYTES).hex()
    before = time.perf_counter()
    connection.execute("insert into record(text) values(?)", (text,))
    now = time.perf_counter()
    commits.append(round((now - before) * 1e6, 1))
connection.close()
print(json.dumps({"seconds": now - start, "commits_us": commits}))
