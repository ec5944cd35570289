/* What the C clients share: the command line, acknowledgements, and what a record holds. The
 * protocol is described in fuse-tests/src/databases/client.rs. */

#ifndef CLIENT_H
#define CLIENT_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Record n counts in total n % PARTS, which each transaction keeps in step. */
#define PARTS 7
#define RECORD_MAX 2000
/* After so many records a writer looks at everything, beside the other writers. */
#define LOOK_EVERY 64

struct request {
    const char *command, *folder, *mode;
    uint64_t last;
};

struct total {
    uint64_t rows, bytes;
};

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static struct request request_of(int argc, char **argv)
{
    struct request request = {.last = UINT64_MAX};
    if (argc < 4)
        fail("usage: %s write|check FOLDER MODE [LAST]", argv[0]);
    request.command = argv[1];
    request.folder = argv[2];
    request.mode = argv[3];
    if (argc > 4)
        request.last = strtoull(argv[4], NULL, 10);
    /* A line leaves the process with its newline, so that none is lost with it. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    return request;
}

static int is(const char *text, const char *other)
{
    return strcmp(text, other) == 0;
}

/* FOLDER/name, made if missing. Lives as long as the process. */
static const char *folder_in(const char *folder, const char *name)
{
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = malloc(length);
    if (!path)
        fail("no memory");
    snprintf(path, length, "%s/%s", folder, name);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        fail("cannot make %s: %s", path, strerror(errno));
    return path;
}

static uint64_t mixed(uint64_t number)
{
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

static size_t record_length(uint64_t number)
{
    return 1 + mixed(number) % RECORD_MAX;
}

/* Writes what record `number` holds, and returns its length. */
static size_t record_fill(uint64_t number, uint8_t *to)
{
    size_t length = record_length(number);
    uint64_t word = 0;
    for (size_t at = 0; at < length; at++) {
        if (at % 8 == 0)
            word = mixed(number * 1009 + at);
        to[at] = (uint8_t)(word >> (at % 8 * 8));
    }
    return length;
}

static void record_check(uint64_t number, const void *bytes, size_t length)
{
    uint8_t expected[RECORD_MAX];
    if (length != record_fill(number, expected) || memcmp(bytes, expected, length) != 0)
        fail("record %" PRIu64 " is damaged", number);
}

/* What the totals must be when `last` is the last record. */
static void totals_check(uint64_t last, const struct total found[PARTS])
{
    struct total expected[PARTS] = {0};
    for (uint64_t number = 1; number <= last; number++) {
        expected[number % PARTS].rows++;
        expected[number % PARTS].bytes += record_length(number);
    }
    if (memcmp(found, expected, sizeof expected) != 0)
        fail("the totals are not those of %" PRIu64 " records", last);
}

#endif
