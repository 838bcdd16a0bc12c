/* A whole wave: gather, encode, and write to files, on the threads of one call.
 *
 * 1. Threads take chunks from an atomic counter, each far from the one before it: files are seldom
 *    made in one directory at a time, where the threads would wait for each other.
 * 2. A chunk is gathered into scratch in the layout in which it is stored, encoded, and written
 *    while it is in cache.
 * 3. A file is made under another name and then renamed: readers see the old one or the new one.
 *    Directories are made when the first file wants them.
 * 4. A chunk that could not be written gets a status: the caller does it again.
 * 5. The calling thread asks now and then whether a signal has come, between two chunks.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#define ATTEMPTS 100            /* while others remove the directory, or take the name */
#define MOST_AT_ONCE (1 << 30)  /* Linux writes no more than 2 GiB in a call */
#define CHECKSUM_BYTES 4
#define BLOSC_HEADER 16
#define ASK_MS 100 /* between two looks for signals */

typedef struct {
    const WriteWave *job;
    int root;
    int64_t apart; /* chunks from one to the next */
    _Atomic int64_t next;
    _Atomic int stop;
    pthread_t caller;
} Wave;

typedef struct {
    Scratch decoded, encoded;
} Worker;

static _Atomic uint64_t serial;

/* -- files ----------------------------------------------------------------------------------- */

/* Make the directories on the way to a path; errors show when the file is made. */
static void make_directories(int root, char *path) {
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdirat(root, path, 0777);
        *slash = '/';
    }
}

static int write_all(int fd, const uint8_t *data, size_t size) {
    while (size) {
        ssize_t done = write(fd, data, size < MOST_AT_ONCE ? size : MOST_AT_ONCE);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

/* Returns an errno. */
static int replace_file(int root, const char *path, char *temporary, const uint8_t *data,
                        size_t size) {
    int fd = openat(root, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    int error = write_all(fd, data, size);
    if (close(fd) && !error && errno != EINTR) error = errno;
    if (!error && renameat(root, temporary, root, path)) error = errno;
    if (error) unlinkat(root, temporary, 0);
    return error;
}

static int32_t write_file(const Wave *wave, int64_t i, const uint8_t *data, size_t size) {
    const WriteWave *job = wave->job;
    char path[PATH_MAX], temporary[PATH_MAX];
    int64_t length = job->offsets[i + 1] - job->offsets[i];
    if (length <= 0 || length >= PATH_MAX) return READ_ERRNO + ENAMETOOLONG;
    memcpy(path, job->keys + job->offsets[i], (size_t)length);
    path[length] = 0;
    if (memchr(path, 0, (size_t)length) || path[0] == '/') return READ_ERRNO + EINVAL;
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) + 1 : 0, error = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int used = snprintf(temporary, sizeof temporary, "%.*s%s%llu", directory, path,
                            job->temporary, (unsigned long long)atomic_fetch_add(&serial, 1));
        if (used < 0 || used >= (int)sizeof temporary) return READ_ERRNO + ENAMETOOLONG;
        error = replace_file(wave->root, path, temporary, data, size);
        if (!error) return READ_OK;
        if (error == ENOENT)
            make_directories(wave->root, path);
        else if (error != EEXIST)
            break;
    }
    return READ_ERRNO + error;
}

/* -- one chunk ------------------------------------------------------------------------------- */

static int is_covered(const WriteWave *job, int64_t i) {
    const CopyRows *copy = &job->copy;
    for (int a = 0; a < copy->axes; a++) {
        int64_t at = i * copy->axes + a;
        if (copy->index[a] || copy->step[a] != 1 || copy->start[at] != 0 ||
            copy->count[at] != job->shape[a])
            return 0;
    }
    return 1;
}

static int is_fill(const uint8_t *data, const uint8_t *item, size_t size, size_t total) {
    return total >= size && !memcmp(data, item, size) && !memcmp(data, data + size, total - size);
}

/* What is stored of a decoded chunk, in its scratch or in the other; NULL where that fails. */
static uint8_t *encode(const WriteWave *job, Worker *worker, uint8_t *decoded, size_t *size) {
    size_t content = (size_t)job->nbytes;
    uint8_t *encoded = decoded;
    *size = content;
    if (job->codec != CODEC_RAW) {
        size_t room = job->codec == CODEC_ZSTD ? codecs.zstd_bound(content) : content + BLOSC_HEADER;
        if (room < content || room > INT64_MAX - CHECKSUM_BYTES) return NULL;
        encoded = scratch_room(&worker->encoded, (int64_t)room + CHECKSUM_BYTES);
        if (!encoded) return NULL;
        if (job->codec == CODEC_ZSTD) {
            *size = zstd_encode(decoded, content, job->level, job->content_checksum, encoded, room);
        } else {
            int done = codecs.blosc_encode(job->level, job->shuffle, (size_t)job->typesize, content,
                                           decoded, encoded, room, job->compressor,
                                           (size_t)job->blocksize, 1);
            *size = done > 0 ? (size_t)done : 0;
        }
        if (!*size) return NULL;
    }
    if (job->checked) {
        uint32_t crc = crc32c(encoded, *size);
        for (int b = 0; b < CHECKSUM_BYTES; b++) encoded[*size + b] = (uint8_t)(crc >> 8 * b);
        *size += CHECKSUM_BYTES;
    }
    return encoded;
}

static int32_t do_chunk(const Wave *wave, Worker *worker, int64_t i) {
    const WriteWave *job = wave->job;
    size_t item = (size_t)job->copy.itemsize, size;
    uint8_t *decoded = scratch_room(&worker->decoded, job->nbytes + CHECKSUM_BYTES);
    if (!decoded) return READ_NO_SPACE;
    if (!is_covered(job, i)) fill_items(decoded, job->copy.fill, item, (size_t)job->nbytes);
    copy_row(&job->copy, i, decoded);
    if (!job->write_empty && is_fill(decoded, job->copy.fill, item, (size_t)job->nbytes))
        return READ_MISSING;
    const uint8_t *encoded = encode(job, worker, decoded, &size);
    return encoded ? write_file(wave, i, encoded, size) : READ_NO_SPACE;
}

/* -- all chunks ------------------------------------------------------------------------------ */

static void *work(void *argument) {
    Wave *wave = argument;
    const WriteWave *job = wave->job;
    int asks = job->interrupted && pthread_equal(pthread_self(), wave->caller);
    int64_t asked = asks ? milliseconds() : 0, columns = (job->n + wave->apart - 1) / wave->apart;
    Worker worker = {{NULL, 0}, {NULL, 0}};
    while (!atomic_load_explicit(&wave->stop, memory_order_relaxed)) {
        int64_t k = atomic_fetch_add(&wave->next, 1);
        if (k >= columns * wave->apart) break;
        int64_t i = k % columns * wave->apart + k / columns;
        if (i < job->n) job->statuses[i] = do_chunk(wave, &worker, i);
        if (!asks || milliseconds() - asked < ASK_MS) continue;
        asked = milliseconds();
        if (job->interrupted()) atomic_store(&wave->stop, 1);
    }
    zstd_encoded_end();
    free(worker.decoded.data);
    free(worker.encoded.data);
    return NULL;
}

int write_wave(const WriteWave *job) {
    Wave wave = {.job = job, .root = -1, .caller = pthread_self()};
    int64_t threads = job->threads < job->n ? job->threads : job->n;
    int32_t status;
    for (int64_t i = 0; i < job->n; i++) {
        int64_t lo, hi;
        job->statuses[i] = READ_NO_SPACE;
        if (row_span(&job->copy, i, job->nbytes, &lo, &hi) == SPAN_OUTSIDE) return 0;
    }
    if (job->n == 0) return 1;
    wave.root = file_root(job->root, &status);
    wave.apart = (job->n + threads - 1) / threads;
    if (wave.root >= 0) {
        run_threads((int)threads, work, &wave);
        close(wave.root);
    }
    return 1;
}
