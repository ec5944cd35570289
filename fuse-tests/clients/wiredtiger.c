/* WiredTiger, MongoDB's storage engine, as a client of a volume, set up as MongoDB does it: a log
 * in a folder of its own, checkpoints beside it, the log flushed for what must be durable.
 * Modes: `buffered`; `direct` reads and writes data files with O_DIRECT. */

#include <wiredtiger.h>

#include "client.h"

#define CHECKPOINT_EVERY 150

/* The log's old files go by themselves; the word for it has changed. */
#if WIREDTIGER_VERSION_MAJOR >= 11
#define OLD_LOGS "remove=true"
#else
#define OLD_LOGS "archive=true"
#endif

#define SETTINGS \
    "create,cache_size=64MB,session_max=100,statistics=(fast),checkpoint_sync=true," \
    "log=(enabled=true," OLD_LOGS ",path=journal,file_max=1MB),"                       \
    "checkpoint=(wait=1,log_size=1MB)"

static void check(int code, const char *what)
{
    if (code != 0)
        fail("%s: %s", what, wiredtiger_strerror(code));
}

static WT_CONNECTION *open_connection(const struct request *request)
{
    WT_CONNECTION *connection;
    const char *home = folder_in(request->folder, "wiredtiger");
    folder_in(home, "journal");
    const char *settings =
        is(request->mode, "direct") ? SETTINGS ",direct_io=[data],buffer_alignment=4KB" : SETTINGS;
    check(wiredtiger_open(home, NULL, settings, &connection), "open");
    return connection;
}

static WT_SESSION *open_session(WT_CONNECTION *connection)
{
    WT_SESSION *session;
    check(connection->open_session(connection, NULL, "isolation=snapshot", &session), "session");
    const char *pages = "key_format=Q,value_format=u,leaf_page_max=16KB,allocation_size=4KB";
    check(session->create(session, "table:records", pages), "records");
    check(session->create(session, "table:totals", pages), "totals");
    return session;
}

static WT_CURSOR *cursor_of(WT_SESSION *session, const char *table)
{
    WT_CURSOR *cursor;
    check(session->open_cursor(session, table, NULL, NULL, &cursor), table);
    return cursor;
}

static struct total total_of(WT_CURSOR *totals, uint64_t part)
{
    struct total total = {0};
    totals->set_key(totals, part);
    int code = totals->search(totals);
    if (code == WT_NOTFOUND)
        return total;
    check(code, "total");
    WT_ITEM value;
    check(totals->get_value(totals, &value), "value of a total");
    memcpy(&total, value.data, sizeof total);
    return total;
}

/* Everything of one moment; returns the last record. */
static uint64_t look(WT_SESSION *session)
{
    WT_CURSOR *records = cursor_of(session, "table:records");
    WT_CURSOR *totals = cursor_of(session, "table:totals");
    check(session->begin_transaction(session, NULL), "begin to read");
    uint64_t last = 0, key;
    int code;
    while ((code = records->next(records)) == 0) {
        WT_ITEM value;
        check(records->get_key(records, &key), "key");
        check(records->get_value(records, &value), "value");
        if (key != ++last)
            fail("record %" PRIu64 " is missing", last);
        record_check(key, value.data, value.size);
    }
    if (code != WT_NOTFOUND)
        check(code, "next");
    struct total found[PARTS];
    for (uint64_t part = 0; part < PARTS; part++)
        found[part] = total_of(totals, part);
    totals_check(last, found);
    check(session->commit_transaction(session, NULL), "end of reading");
    check(records->close(records), "close");
    check(totals->close(totals), "close");
    return last;
}

static void append(WT_SESSION *session, WT_CURSOR *records, WT_CURSOR *totals, uint64_t number)
{
    uint8_t bytes[RECORD_MAX];
    WT_ITEM value = {.data = bytes, .size = record_fill(number, bytes)};
    check(session->begin_transaction(session, NULL), "begin");
    records->set_key(records, number);
    records->set_value(records, &value);
    check(records->insert(records), "insert");
    struct total total = total_of(totals, number % PARTS);
    total.rows++;
    total.bytes += value.size;
    WT_ITEM sum = {.data = &total, .size = sizeof total};
    totals->set_key(totals, number % PARTS);
    totals->set_value(totals, &sum);
    check(totals->insert(totals), "insert a total");
    check(session->commit_transaction(session, NULL), "commit");
}

int main(int argc, char **argv)
{
    struct request request = request_of(argc, argv);
    WT_CONNECTION *connection = open_connection(&request);
    WT_SESSION *session = open_session(connection);
    uint64_t number = look(session);
    if (is(request.command, "check")) {
        printf("%" PRIu64 "\n", number);
    } else {
        WT_CURSOR *records = cursor_of(session, "table:records");
        WT_CURSOR *totals = cursor_of(session, "table:totals");
        while (number < request.last) {
            append(session, records, totals, ++number);
            /* A commit alone may be in the log's buffer in memory only. */
            check(session->log_flush(session, "sync=on"), "flush of the log");
            printf("durable %" PRIu64 "\n", number);
            if (number % CHECKPOINT_EVERY == 0)
                check(session->checkpoint(session, NULL), "checkpoint");
            if (number % LOOK_EVERY == 0)
                look(session);
        }
    }
    check(connection->close(connection, NULL), "close");
    return 0;
}
