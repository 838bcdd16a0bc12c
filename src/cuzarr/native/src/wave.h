/* Shared by wave.c and partial.c. */
#ifndef CUZARR_WAVE_H
#define CUZARR_WAVE_H

#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "native.h"

#include <sys/uio.h>

/* Bytes that are read although nobody wants them, where that saves a call. */
#define GAP (16 * 1024)
#define MAX_PARTS 512

/* What a thread needs for its work; kept from call to call. */
typedef struct {
    Scratch encoded, decoded, block, blocks, starts, pieces;
    int64_t first, last; /* bytes of the open file that `encoded` holds, from its start */
    void *zstd;
    struct iovec parts[MAX_PARTS];
    uint8_t unwanted[GAP];
} Worker;

/* Chunk i of a wave and its rows [first, last), which touch no bytes outside of [lo, hi). */
typedef struct {
    const ReadWave *job;
    Worker *worker;
    int64_t i, first, last, lo, hi;
} Chunk;

/* Copy all rows of a chunk whose element 0 is at `base` (NULL = missing). */
static inline void copy_chunk(const Chunk *chunk, uint8_t *base) {
    for (int64_t r = chunk->first; r < chunk->last; r++) copy_row(&chunk->job->copy, r, base);
}

/* partial.c; READ_ statuses, or DECODED + a DECODE_ status */
/* The decoded chunk is stored as it is, at `start` of the file. */
int32_t raw_from_file(const Chunk *chunk, int fd, int64_t start);
/* A Blosc chunk, of which some blocks may do. */
int32_t blosc_from_file(const Chunk *chunk, int fd, int64_t start, int64_t size);
int32_t blosc_from_memory(const Chunk *chunk, const uint8_t *src, int64_t size);

#endif
