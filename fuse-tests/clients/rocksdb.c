/* RocksDB as a client of a volume: one synced write batch a record, with buffers so small that
 * files are flushed and compacted all the time.
 * Modes: `buffered`; `direct` reads, flushes and compacts with O_DIRECT; `mmap` reads and writes
 * through mappings. */

#include <rocksdb/c.h>

#include "client.h"

#define BUFFER ((size_t)64 << 10)

static void check(char *problem, const char *what)
{
    if (problem)
        fail("%s: %s", what, problem);
}

static rocksdb_t *open_db(const struct request *request)
{
    rocksdb_options_t *options = rocksdb_options_create();
    unsigned char direct = is(request->mode, "direct"), mapped = is(request->mode, "mmap");
    char *problem = NULL;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_write_buffer_size(options, BUFFER);
    rocksdb_options_set_target_file_size_base(options, BUFFER);
    rocksdb_options_set_max_bytes_for_level_base(options, 4 * BUFFER);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, 2);
    rocksdb_options_set_use_direct_reads(options, direct);
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(options, direct);
    rocksdb_options_set_allow_mmap_reads(options, mapped);
    rocksdb_options_set_allow_mmap_writes(options, mapped);
    rocksdb_t *db = rocksdb_open(options, folder_in(request->folder, "rocksdb"), &problem);
    check(problem, "open");
    return db;
}

/* Records have keys of their own kind, so that the totals come behind them. */
static void record_key(uint64_t number, char key[9])
{
    key[0] = 'r';
    for (int at = 0; at < 8; at++)
        key[1 + at] = (char)(number >> (8 * (7 - at)));
}

static uint64_t record_number(const char *key)
{
    uint64_t number = 0;
    for (int at = 0; at < 8; at++)
        number = number << 8 | (uint8_t)key[1 + at];
    return number;
}

static struct total total_of(rocksdb_t *db, const rocksdb_readoptions_t *read, uint64_t part)
{
    char key[2] = {'t', (char)part}, *problem = NULL;
    struct total total = {0};
    size_t length;
    char *value = rocksdb_get(db, read, key, sizeof key, &length, &problem);
    check(problem, "total");
    if (value)
        memcpy(&total, value, sizeof total);
    rocksdb_free(value);
    return total;
}

/* Everything of one moment, every block's checksum compared; returns the last record. */
static uint64_t look(rocksdb_t *db)
{
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    const rocksdb_snapshot_t *moment = rocksdb_create_snapshot(db);
    rocksdb_readoptions_set_verify_checksums(read, 1);
    rocksdb_readoptions_set_fill_cache(read, 0);
    rocksdb_readoptions_set_snapshot(read, moment);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, read);
    uint64_t last = 0;
    for (rocksdb_iter_seek(iterator, "r", 1); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_length, length;
        const char *key = rocksdb_iter_key(iterator, &key_length);
        if (key[0] != 'r')
            break;
        if (record_number(key) != ++last)
            fail("record %" PRIu64 " is missing", last);
        const char *value = rocksdb_iter_value(iterator, &length);
        record_check(last, value, length);
    }
    char *problem = NULL;
    rocksdb_iter_get_error(iterator, &problem);
    check(problem, "read");
    struct total found[PARTS];
    for (uint64_t part = 0; part < PARTS; part++)
        found[part] = total_of(db, read, part);
    totals_check(last, found);
    rocksdb_iter_destroy(iterator);
    rocksdb_release_snapshot(db, moment);
    rocksdb_readoptions_destroy(read);
    return last;
}

static void append(rocksdb_t *db, const rocksdb_writeoptions_t *write, uint64_t number,
                   struct total totals[PARTS])
{
    uint8_t bytes[RECORD_MAX];
    char key[9], total_key[2] = {'t', (char)(number % PARTS)}, *problem = NULL;
    struct total *total = &totals[number % PARTS];
    size_t length = record_fill(number, bytes);
    record_key(number, key);
    total->rows++;
    total->bytes += length;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put(batch, key, sizeof key, (char *)bytes, length);
    rocksdb_writebatch_put(batch, total_key, sizeof total_key, (char *)total, sizeof *total);
    rocksdb_write(db, write, batch, &problem);
    check(problem, "write");
    rocksdb_writebatch_destroy(batch);
}

int main(int argc, char **argv)
{
    struct request request = request_of(argc, argv);
    rocksdb_t *db = open_db(&request);
    uint64_t number = look(db);
    if (is(request.command, "check")) {
        printf("%" PRIu64 "\n", number);
    } else {
        rocksdb_readoptions_t *read = rocksdb_readoptions_create();
        rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(write, 1);
        struct total totals[PARTS];
        for (uint64_t part = 0; part < PARTS; part++)
            totals[part] = total_of(db, read, part);
        while (number < request.last) {
            append(db, write, ++number, totals);
            printf("durable %" PRIu64 "\n", number);
            if (number % LOOK_EVERY == 0)
                look(db);
        }
    }
    rocksdb_close(db);
    return 0;
}
