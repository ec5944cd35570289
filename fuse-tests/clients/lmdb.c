/* LMDB as a client of a volume: one transaction a record, durable when it has committed.
 * Modes: `plain` writes pages with pwrite and reads them through a shared mapping; `writemap`
 * writes through the mapping; `unsynced` lies: it calls durable what it did not sync. Several
 * processes may write at once. */

#include <lmdb.h>

#include "client.h"

#define MAP_SIZE ((size_t)1 << 30)

static void check(int code, const char *what)
{
    if (code != 0)
        fail("%s: %s", what, mdb_strerror(code));
}

static MDB_env *open_env(const struct request *request)
{
    MDB_env *env;
    unsigned flags = 0;
    if (is(request->mode, "writemap"))
        flags = MDB_WRITEMAP;
    if (is(request->mode, "unsynced"))
        flags = MDB_NOSYNC;
    check(mdb_env_create(&env), "create");
    check(mdb_env_set_mapsize(env, MAP_SIZE), "map size");
    check(mdb_env_set_maxdbs(env, 2), "tables");
    check(mdb_env_open(env, folder_in(request->folder, "lmdb"), flags, 0644), "open");
    int dead;
    check(mdb_reader_check(env, &dead), "readers");
    return env;
}

static MDB_dbi table(MDB_txn *txn, const char *name, unsigned flags)
{
    MDB_dbi dbi;
    check(mdb_dbi_open(txn, name, MDB_INTEGERKEY | flags, &dbi), name);
    return dbi;
}

static uint64_t last_key(MDB_txn *txn, MDB_dbi records)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    check(mdb_cursor_open(txn, records, &cursor), "cursor");
    int code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    mdb_cursor_close(cursor);
    if (code == MDB_NOTFOUND)
        return 0;
    check(code, "last");
    return *(uint64_t *)key.mv_data;
}

static struct total total_of(MDB_txn *txn, MDB_dbi totals, uint64_t part)
{
    struct total total = {0};
    MDB_val key = {sizeof part, &part}, value;
    int code = mdb_get(txn, totals, &key, &value);
    if (code == MDB_NOTFOUND)
        return total;
    check(code, "total");
    memcpy(&total, value.mv_data, sizeof total);
    return total;
}

/* Everything as one reader sees it, in one moment; returns the last record. */
static uint64_t look(MDB_env *env)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin to read");
    MDB_dbi records = table(txn, "records", 0), totals = table(txn, "totals", 0);
    check(mdb_cursor_open(txn, records, &cursor), "cursor");
    uint64_t last = 0;
    int code;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (*(uint64_t *)key.mv_data != ++last)
            fail("record %" PRIu64 " is missing", last);
        record_check(last, value.mv_data, value.mv_size);
    }
    if (code != MDB_NOTFOUND)
        check(code, "next");
    struct total found[PARTS];
    for (uint64_t part = 0; part < PARTS; part++)
        found[part] = total_of(txn, totals, part);
    totals_check(last, found);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return last;
}

static uint64_t append(MDB_env *env, MDB_dbi records, MDB_dbi totals)
{
    MDB_txn *txn;
    uint8_t bytes[RECORD_MAX];
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    uint64_t number = last_key(txn, records) + 1, part = number % PARTS;
    size_t length = record_fill(number, bytes);
    MDB_val key = {sizeof number, &number}, value = {length, bytes};
    check(mdb_put(txn, records, &key, &value, MDB_NOOVERWRITE), "put");
    struct total total = total_of(txn, totals, part);
    total.rows++;
    total.bytes += length;
    MDB_val part_key = {sizeof part, &part}, sum = {sizeof total, &total};
    check(mdb_put(txn, totals, &part_key, &sum, 0), "put a total");
    check(mdb_txn_commit(txn), "commit");
    return number;
}

int main(int argc, char **argv)
{
    struct request request = request_of(argc, argv);
    MDB_env *env = open_env(&request);
    if (is(request.command, "check")) {
        printf("%" PRIu64 "\n", look(env));
    } else {
        MDB_txn *txn;
        check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
        MDB_dbi records = table(txn, "records", MDB_CREATE);
        MDB_dbi totals = table(txn, "totals", MDB_CREATE);
        check(mdb_txn_commit(txn), "commit the tables");
        uint64_t number;
        do {
            number = append(env, records, totals);
            printf("durable %" PRIu64 "\n", number);
            if (number % LOOK_EVERY == 0)
                look(env);
        } while (number < request.last);
    }
    mdb_env_close(env);
    return 0;
}
