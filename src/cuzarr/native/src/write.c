/* A whole wave: gather, encode, and write to files, on the threads of one call.
 *
 * 1. Threads take chunks from an atomic counter, each far from the one before it: files are seldom
 *    made in one directory at a time, where the threads would wait for each other.
 * 2. A chunk is gathered into scratch in the layout in which it is stored, encoded, and written
 *    while it is in cache; raw ones that lie in the array just so are written from there.
 * 3. Chunks of shards are taken one after another, and kept until the last of their shard is done:
 *    that thread writes the shard, chunks in the order of their slots, and its index.
 * 4. A file is made under another name and then renamed: readers see the old one or the new one.
 *    Directories are made when the first file wants them.
 * 5. A file that could not be written gets a status: the caller does it again.
 * 6. Blosc may use several threads for one chunk, and puts its blocks in the order in which they
 *    are done: then the bytes may differ from call to call.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#define ATTEMPTS 100            /* while others remove the directory, or take the name */
#define MOST_FUTILE 4           /* of these where no directory could be made */
#define MOST_PARTS 512          /* of a call to writev */
#define CHECKSUM_BYTES 4
#define BLOSC_HEADER 16

/* A shard under way. */
typedef struct {
    _Atomic int64_t left; /* chunks that are not encoded yet */
    _Atomic int32_t status;
} Shard;

typedef struct {
    const WriteWave *job;
    int root;
    int64_t apart; /* chunks from one to the next */
    _Atomic int64_t next;
    Signals signals;
    Shard *shards;
    int64_t *shard_of;
    struct iovec *pieces; /* of chunks of shards; no address = not stored */
} Wave;

typedef struct {
    Scratch decoded, encoded;
} Worker;

static _Atomic uint64_t serial;

/* -- files ----------------------------------------------------------------------------------- */

/* Make the directories on the way to a path; the last errno, or 0. */
static int make_directories(int root, char *path) {
    int error = 0;
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        error = mkdirat(root, path, 0777) ? errno : 0;
        *slash = '/';
    }
    return error;
}

/* Write all parts, which are used up; returns an errno. Linux writes at most 2 GiB in a call. */
static int write_all(int fd, struct iovec *parts, int64_t count) {
    while (count) {
        ssize_t done = writev(fd, parts, (int)(count < MOST_PARTS ? count : MOST_PARTS));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        for (; count && (size_t)done >= parts->iov_len; parts++, count--)
            done -= (ssize_t)parts->iov_len;
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
    return 0;
}

/* Make the file of a name that nobody has, next to a path; the descriptor, or -1 and errno. */
static int make_temporary(const Wave *wave, char *path, char *temporary) {
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) + 1 : 0, fd = -1, futile = 0;
    for (int attempt = 0; fd < 0 && attempt < ATTEMPTS; attempt++) {
        int used = snprintf(temporary, PATH_MAX, "%.*s%s%llu", directory, path,
                            wave->job->temporary, (unsigned long long)atomic_fetch_add(&serial, 1));
        errno = ENAMETOOLONG;
        if (used < 0 || used >= PATH_MAX) return -1;
        fd = openat(wave->root, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno == EEXIST) continue;
        if (errno != ENOENT) return -1;
        int error = make_directories(wave->root, path);
        if (error && ((error != ENOENT && error != EEXIST) || ++futile > MOST_FUTILE)) return -1;
    }
    return fd;
}

/* Write file f; a READ_ status. */
static int32_t write_file(const Wave *wave, int64_t f, struct iovec *parts, int64_t count) {
    const WriteWave *job = wave->job;
    char path[PATH_MAX], temporary[PATH_MAX];
    int64_t length = job->offsets[f + 1] - job->offsets[f];
    if (length <= 0 || length >= PATH_MAX) return READ_ERRNO + ENAMETOOLONG;
    memcpy(path, job->keys + job->offsets[f], (size_t)length);
    path[length] = 0;
    if (memchr(path, 0, (size_t)length) || path[0] == '/') return READ_ERRNO + EINVAL;
    int fd = make_temporary(wave, path, temporary);
    if (fd < 0) return READ_ERRNO + errno;
    int error = write_all(fd, parts, count);
    if (close(fd) && !error && errno != EINTR) error = errno;
    if (!error && renameat(wave->root, temporary, wave->root, path)) error = errno;
    if (error) unlinkat(wave->root, temporary, 0);
    return error ? READ_ERRNO + error : READ_OK;
}

/* -- one chunk ------------------------------------------------------------------------------- */

static void put_le(uint8_t *to, uint64_t value, int bytes) {
    for (int b = 0; b < bytes; b++) to[b] = (uint8_t)(value >> 8 * b);
}

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
                                           (size_t)job->blocksize, job->inside);
            *size = done > 0 ? (size_t)done : 0;
        }
        if (!*size) return NULL;
    }
    if (job->checked) {
        uint32_t crc = crc32c(encoded, *size);
        put_le(encoded + *size, crc, CHECKSUM_BYTES);
        *size += CHECKSUM_BYTES;
    }
    return encoded;
}

/* Where the whole of chunk i lies in the array as it is stored, or NULL. Only what is written as it
 * is may be taken from there: a compressor reads its input several times, and another thread that
 * changes the array meanwhile would make a chunk that nobody can decode. */
static uint8_t *in_array(const WriteWave *job, int64_t i) {
    const CopyRows *copy = &job->copy;
    Line lines[MAX_AXES + 1];
    int64_t chunk, array;
    if (copy->swap_unit || job->checked || job->codec != CODEC_RAW ||
        row_lines(copy, i, lines, &chunk, &array) != 1 ||
        lines[0].chunk_step != copy->itemsize || lines[0].array_step != copy->itemsize ||
        lines[0].count * copy->itemsize != job->nbytes)
        return NULL;
    return copy->array + array;
}

static uint8_t *gather(const WriteWave *job, Worker *worker, int64_t i) {
    size_t item = (size_t)job->copy.itemsize;
    uint8_t *decoded = scratch_room(&worker->decoded, job->nbytes + CHECKSUM_BYTES);
    if (!decoded) return NULL;
    if (!is_covered(job, i)) fill_items(decoded, job->copy.fill, item, (size_t)job->nbytes);
    copy_row(&job->copy, i, decoded);
    return decoded;
}

/* Gather and encode chunk i; the bytes stay until the next one. A READ_ status. */
static int32_t make_chunk(const WriteWave *job, Worker *worker, int64_t i, struct iovec *made) {
    size_t item = (size_t)job->copy.itemsize;
    uint8_t *decoded = in_array(job, i);
    if (!decoded && !(decoded = gather(job, worker, i))) return READ_NO_SPACE;
    if (!job->write_empty && is_fill(decoded, job->copy.fill, item, (size_t)job->nbytes))
        return READ_MISSING;
    made->iov_base = encode(job, worker, decoded, &made->iov_len);
    return made->iov_base ? READ_OK : READ_NO_SPACE;
}

/* -- shards ---------------------------------------------------------------------------------- */

/* Write a shard of which every chunk is encoded. */
static int32_t write_shard(const Wave *wave, int64_t s) {
    const WriteWave *job = wave->job;
    int64_t first = job->first[s], last = job->first[s + 1], count = 0;
    size_t size = (size_t)job->slots * 16 + (job->index_checked ? CHECKSUM_BYTES : 0);
    size_t offset = job->index_at_end ? 0 : size;
    struct iovec *parts = calloc((size_t)(last - first) + 1, sizeof *parts);
    uint8_t *index = malloc(size);
    int32_t status = atomic_load(&wave->shards[s].status);
    if (!parts || !index) status = READ_NO_SPACE;
    if (status == READ_OK) {
        memset(index, 0xFF, size);
        if (!job->index_at_end) parts[count++] = (struct iovec){index, size};
        for (int64_t i = first; i < last; i++) {
            const struct iovec *piece = &wave->pieces[i];
            if (!piece->iov_base) continue;
            put_le(index + 16 * job->slot[i], offset, 8);
            put_le(index + 16 * job->slot[i] + 8, piece->iov_len, 8);
            offset += piece->iov_len;
            parts[count++] = *piece;
        }
        if (job->index_checked)
            put_le(index + size - CHECKSUM_BYTES, crc32c(index, size - CHECKSUM_BYTES),
                   CHECKSUM_BYTES);
        if (count == !job->index_at_end)
            status = READ_MISSING; /* nothing in it */
        else if (job->index_at_end)
            parts[count++] = (struct iovec){index, size};
        if (status == READ_OK) status = write_file(wave, s, parts, count);
    }
    free(parts);
    free(index);
    for (int64_t i = first; i < last; i++) {
        free(wave->pieces[i].iov_base);
        wave->pieces[i].iov_base = NULL;
    }
    return status;
}

static void keep_piece(Wave *wave, int64_t i, int32_t status, const struct iovec *made) {
    Shard *shard = &wave->shards[wave->shard_of[i]];
    if (status == READ_OK) {
        struct iovec *piece = &wave->pieces[i];
        if ((piece->iov_base = malloc(made->iov_len)))
            memcpy(piece->iov_base, made->iov_base, piece->iov_len = made->iov_len);
        else
            status = READ_NO_SPACE;
    }
    if (status != READ_OK && status != READ_MISSING) atomic_store(&shard->status, status);
    if (atomic_fetch_sub(&shard->left, 1) == 1)
        wave->job->statuses[wave->shard_of[i]] = write_shard(wave, wave->shard_of[i]);
}

static int begin_shards(Wave *wave) {
    const WriteWave *job = wave->job;
    wave->shards = calloc((size_t)job->files + 1, sizeof *wave->shards);
    wave->shard_of = malloc((size_t)(job->n + 1) * sizeof *wave->shard_of);
    wave->pieces = calloc((size_t)job->n + 1, sizeof *wave->pieces);
    if (!wave->shards || !wave->shard_of || !wave->pieces) return 0;
    for (int64_t s = 0; s < job->files; s++) {
        atomic_store(&wave->shards[s].left, job->first[s + 1] - job->first[s]);
        for (int64_t i = job->first[s]; i < job->first[s + 1]; i++) wave->shard_of[i] = s;
    }
    return 1;
}

static void end_shards(Wave *wave) {
    for (int64_t i = 0; wave->pieces && i < wave->job->n; i++) free(wave->pieces[i].iov_base);
    free(wave->shards);
    free(wave->shard_of);
    free(wave->pieces);
}

/* -- all chunks ------------------------------------------------------------------------------ */

static void do_chunk(Wave *wave, Worker *worker, int64_t i) {
    const WriteWave *job = wave->job;
    struct iovec made = {NULL, 0};
    int32_t status = make_chunk(job, worker, i, &made);
    if (job->first)
        keep_piece(wave, i, status, &made);
    else
        job->statuses[i] = status == READ_OK ? write_file(wave, i, &made, 1) : status;
}

static void *work(void *argument) {
    Wave *wave = argument;
    const WriteWave *job = wave->job;
    int64_t columns = (job->n + wave->apart - 1) / wave->apart;
    Worker worker = {{NULL, 0}, {NULL, 0}};
    while (!signals_stop(&wave->signals)) {
        int64_t k = atomic_fetch_add(&wave->next, 1);
        if (k >= columns * wave->apart) break;
        int64_t i = k % columns * wave->apart + k / columns;
        if (i < job->n) do_chunk(wave, &worker, i);
    }
    zstd_encoded_end();
    free(worker.decoded.data);
    free(worker.encoded.data);
    return NULL;
}

int write_wave(const WriteWave *job) {
    Wave wave = {.job = job, .root = -1};
    int64_t threads = job->threads < job->n ? job->threads : job->n;
    int32_t status;
    for (int64_t f = 0; f < job->files; f++) job->statuses[f] = READ_NO_SPACE;
    for (int64_t i = 0; i < job->n; i++) {
        int64_t lo, hi;
        if (row_span(&job->copy, i, job->nbytes, &lo, &hi) == SPAN_OUTSIDE) return 0;
    }
    if (job->n == 0) return 1;
    signals_begin(&wave.signals, job->interrupted);
    wave.root = file_root(job->root, &status);
    wave.apart = job->first ? 1 : (job->n + threads - 1) / threads;
    if (wave.root >= 0 && (!job->first || begin_shards(&wave)))
        run_threads((int)threads, work, &wave);
    end_shards(&wave);
    if (wave.root >= 0) close(wave.root);
    return 1;
}
