/* A whole wave: read, decode, and copy to the output, on the threads of one call.
 *
 * 1. Threads take short runs of chunks from an atomic counter. Within a run chunks with the same
 *    key share the descriptor, and neighbours in the file one read.
 * 2. Of a raw or Blosc chunk without a checksum only what its rows touch is read (partial.c).
 * 3. A chunk is decoded straight into the output where it fills one contiguous piece of it, else
 *    into scratch, once, and its rows are copied.
 * 4. A bad chunk gets a status, and its part of the output is undefined: the caller does it again.
 */
#define _GNU_SOURCE
#include "wave.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define RUN (256 * 1024)         /* bytes that neighbours are read in at a time */
#define MAX_GRAB 64              /* chunks */
#define WHOLE (16 * 1024)        /* encoded bytes of a Blosc chunk that are read at once */
#define KEPT_BYTES (16 * 1024 * 1024)
#define KEPT_WORKERS 64

typedef struct {
    const ReadWave *job;
    int root;
    int32_t root_status;
    int64_t grab;
    _Atomic int64_t next;
    _Atomic int outside;
    Signals signals;
} Wave;

/* Idle workers. Slots are exchanged whole, so a fork at any moment leaves nothing locked. */
static _Atomic(Worker *) kept[KEPT_WORKERS];

static Worker *take_worker(void) {
    for (int k = 0; k < KEPT_WORKERS; k++) {
        Worker *worker = atomic_exchange(&kept[k], NULL);
        if (worker) return worker;
    }
    return calloc(1, sizeof(Worker));
}

static void give_worker(Worker *worker) {
    Scratch *all[] = {&worker->encoded, &worker->decoded, &worker->block,
                      &worker->blocks,   &worker->starts,  &worker->pieces};
    size_t total = 0;
    worker->first = worker->last = 0;
    for (int s = 0; s < 6; s++) total += all[s]->size;
    for (int s = 0; s < 6 && total > KEPT_BYTES; s++) {
        free(all[s]->data);
        *all[s] = (Scratch){NULL, 0};
    }
    for (int k = 0; k < KEPT_WORKERS; k++) {
        Worker *none = NULL;
        if (atomic_compare_exchange_strong(&kept[k], &none, worker)) return;
    }
    for (int s = 0; s < 6; s++) free(all[s]->data);
    zstd_context_free(worker->zstd);
    free(worker);
}

/* -- one chunk ------------------------------------------------------------------------------- */

static int is_selected_whole(const Chunk *chunk) {
    const ReadWave *job = chunk->job;
    const CopyRows *copy = &job->copy;
    if (!job->shape || chunk->last - chunk->first != 1) return 0;
    for (int a = 0; a < copy->axes; a++) {
        int64_t at = chunk->first * copy->axes + a;
        if (copy->index[a] || copy->step[a] != 1 || copy->start[at] != 0 ||
            copy->count[at] != job->shape[a])
            return 0;
    }
    return 1;
}

static int32_t decode_chunk(const Chunk *chunk, const uint8_t *src, int64_t size) {
    const ReadWave *job = chunk->job;
    const CopyRows *copy = &job->copy;
    if (job->checked) {
        int status = checksum(src, &size);
        if (status != DECODE_OK) return DECODED + status;
    }
    if (job->codec == CODEC_RAW) {
        if (size != job->nbytes) return DECODED + DECODE_SIZE;
        copy_chunk(chunk, (uint8_t *)(uintptr_t)src);
        return READ_OK;
    }
    uint8_t *to;
    int in_place = is_selected_whole(chunk);
    if (in_place) {
        to = copy->array;
        for (int a = 0; a < copy->axes; a++)
            to += copy->out[chunk->first * copy->axes + a] * copy->array_strides[a];
    } else {
        if (job->codec == CODEC_BLOSC) return blosc_from_memory(chunk, src, size);
        if (!(to = scratch_room(&chunk->worker->decoded, job->nbytes))) return READ_NO_SPACE;
    }
    int status = decode_one(job->codec, src, size, to, job->nbytes, chunk->lo, chunk->hi,
                            &chunk->worker->block);
    if (status != DECODE_OK) return DECODED + status;
    if (!in_place) copy_chunk(chunk, to);
    return READ_OK;
}

/* Make bytes [start, start + size) of the file part of `encoded`; neighbours come along. */
static int32_t load(const Wave *wave, Worker *worker, const OpenFile *file, int64_t i, int64_t stop,
                    int64_t start, int64_t size) {
    const ReadWave *job = wave->job;
    int64_t end = start + size;
    for (int64_t j = i + 1; j < stop && job->files.lengths[i] >= 0; j++) {
        int64_t from = job->files.starts[j], length = job->files.lengths[j];
        if (!job->present[j]) continue;
        if (length < 0 || from < start || from > end + GAP / 4 || length > file->size - from) break;
        if (from + length - start > RUN || !file_same_key(&job->files, i, j)) break;
        if (from + length > end) end = from + length;
    }
    uint8_t *data = scratch_room(&worker->encoded, end - start);
    worker->first = worker->last = 0;
    if (!data) return READ_NO_SPACE;
    int32_t status = file_read(file->fd, data, start, end - start);
    if (status != READ_OK && end > start + size) {
        end = start + size;
        status = file_read(file->fd, data, start, size);
    }
    if (status != READ_OK) return status;
    worker->first = start;
    worker->last = end;
    return READ_OK;
}

/* Rows may overlap: no more is counted than what lies between the first byte and the last. */
static int64_t selected_bytes(const Chunk *chunk) {
    int64_t bytes = 0, most = chunk->hi - chunk->lo;
    for (int64_t r = chunk->first; r < chunk->last && bytes < most; r++)
        bytes += row_items(&chunk->job->copy, r) * chunk->job->copy.itemsize;
    return bytes < most ? bytes : most;
}

static int32_t chunk_from_file(const Wave *wave, const Chunk *chunk, OpenFile *file,
                               int64_t stop) {
    const ReadWave *job = chunk->job;
    Worker *worker = chunk->worker;
    int64_t i = chunk->i, start, size;
    if (file_open(wave->root, &job->files, i, file)) worker->first = worker->last = 0;
    if (file->status != READ_OK) return file->status;
    if (!file_range(file, job->files.starts[i], job->files.lengths[i], &start, &size))
        return READ_SHORT;
    if (size > job->limit) return READ_NO_SPACE;
    if (start < worker->first || start + size > worker->last) {
        if (job->codec == CODEC_RAW && !job->checked) {
            if (size != job->nbytes) return DECODED + DECODE_SIZE;
            return raw_from_file(chunk, file->fd, start);
        }
        if (job->codec == CODEC_BLOSC && !job->checked && size > WHOLE &&
            selected_bytes(chunk) < job->nbytes / 4 * 3 &&
            blosc_from_file(chunk, file->fd, start, size) == READ_OK)
            return READ_OK;
        int32_t status = load(wave, worker, file, i, stop, start, size);
        if (status != READ_OK) return status;
    }
    return decode_chunk(chunk, worker->encoded.data + (start - worker->first), size);
}

/* Set `lo` and `hi`. */
static int chunk_span(Chunk *chunk) {
    int found = SPAN_EMPTY;
    for (int64_t r = chunk->first; r < chunk->last; r++) {
        int64_t lo, hi;
        int span = row_span(&chunk->job->copy, r, chunk->job->nbytes, &lo, &hi);
        if (span == SPAN_OUTSIDE) return span;
        if (span == SPAN_EMPTY) continue;
        if (found == SPAN_EMPTY || lo < chunk->lo) chunk->lo = lo;
        if (found == SPAN_EMPTY || hi > chunk->hi) chunk->hi = hi;
        found = span;
    }
    return found;
}

static int32_t do_chunk(Wave *wave, Worker *worker, OpenFile *file, int64_t i, int64_t stop) {
    const ReadWave *job = wave->job;
    Chunk chunk = {job, worker, i, i, i + 1, 0, 0};
    int32_t status = READ_MISSING;
    if (job->first) {
        chunk.first = job->first[i];
        chunk.last = job->first[i + 1];
    }
    int span = chunk_span(&chunk);
    if (span == SPAN_OUTSIDE) atomic_store(&wave->outside, 1);
    if (span != SPAN_INSIDE) return READ_OK;
    if (job->present[i] && job->ptrs && job->ptrs[i])
        status = decode_chunk(&chunk, (const uint8_t *)(uintptr_t)job->ptrs[i], job->sizes[i]);
    else if (job->present[i] && !job->ptrs)
        status = wave->root < 0 ? wave->root_status : chunk_from_file(wave, &chunk, file, stop);
    if (status != READ_MISSING) return status;
    copy_chunk(&chunk, NULL);
    return READ_OK;
}

/* -- all chunks ------------------------------------------------------------------------------ */

static void *work(void *argument) {
    Wave *wave = argument;
    int64_t n = wave->job->n;
    Worker *worker = take_worker();
    if (!worker) return NULL; /* the chunks that nobody does keep their status */
    worker->zstd = zstd_context_swap(worker->zstd);
    for (;;) {
        int64_t i = atomic_fetch_add(&wave->next, wave->grab);
        int64_t stop = i + wave->grab < n ? i + wave->grab : n;
        OpenFile file = {-1, READ_OK, 0, -1};
        if (i >= n || signals_stop(&wave->signals)) break;
        worker->first = worker->last = 0;
        for (; i < stop && !signals_stop(&wave->signals); i++)
            wave->job->statuses[i] = do_chunk(wave, worker, &file, i, stop);
        file_close(&file);
    }
    worker->zstd = zstd_context_swap(worker->zstd);
    give_worker(worker);
    return NULL;
}

int read_wave(const ReadWave *job) {
    Wave wave = {.job = job, .root = -1, .grab = 1};
    int64_t n = job->n, threads = job->threads < n ? job->threads : n;
    signals_begin(&wave.signals, job->interrupted);
    for (int64_t i = 0; i < n; i++) job->statuses[i] = READ_NO_SPACE;
    if (!job->ptrs) wave.root = file_root(job->files.root, &wave.root_status);
    if (threads > 1) {
        int64_t share = n / (threads * 4), chunks = RUN / (job->nbytes + 1);
        wave.grab = chunks < share ? chunks : share;
    } else {
        wave.grab = n;
    }
    if (wave.grab > MAX_GRAB) wave.grab = MAX_GRAB;
    if (wave.grab < 1) wave.grab = 1;
    run_threads((int)threads, work, &wave);
    if (wave.root >= 0) close(wave.root);
    return !wave.outside;
}
