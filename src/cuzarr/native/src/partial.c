/* Chunks of which some bytes only are needed.
 *
 * 1. Raw chunks: where one row is copied, and every line is contiguous in the file and in the output, the lines are read
 *    in place, many per call, and the gaps between them into a buffer nobody looks at. Otherwise
 *    the pieces are merged over gaps, read at their offsets of an image of the chunk, and copied.
 * 2. Blosc chunks: the header and the table of the blocks are read first. The blocks that the row
 *    touches are marked, their bytes read, each up to where the next block begins, and decoded.
 */
#include "wave.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD 4096        /* bytes of a Blosc chunk that are read before anything is known of it */
#define BLOSC_HEADER 16  /* then the table of int32 block starts */
#define MAX_PIECES 4096
#define SHORT_PART 64    /* bytes; a row of many shorter lines is read as an image */
#define FEW_PARTS 8

typedef struct {
    int64_t first, last;
} Piece;

typedef struct {
    Piece *pieces;
    int64_t count; /* MAX_PIECES + 1: too many */
} Pieces;

static int overlap(const Piece *piece, int64_t first, int64_t last) {
    return first <= piece->last + GAP && last >= piece->first - GAP;
}

static void widen(Piece *piece, int64_t first, int64_t last) {
    if (first < piece->first) piece->first = first;
    if (last > piece->last) piece->last = last;
}

static int add_piece(void *to, int64_t first, int64_t last, uint8_t *array) {
    Pieces *found = to;
    (void)array;
    if (found->count && overlap(&found->pieces[found->count - 1], first, last)) {
        widen(&found->pieces[found->count - 1], first, last);
        return 0;
    }
    if (found->count == MAX_PIECES) {
        found->count++;
        return 1;
    }
    found->pieces[found->count++] = (Piece){first, last};
    return 0;
}

static int by_first(const void *a, const void *b) {
    int64_t x = ((const Piece *)a)->first, y = ((const Piece *)b)->first;
    return (x > y) - (x < y);
}

/* Read the pieces, which are bytes of what begins at `start` of the file, into image[first...]. */
static int32_t read_pieces(Pieces *found, int fd, int64_t start, uintptr_t image) {
    int64_t kept = 0;
    if (!found->count) return READ_OK;
    qsort(found->pieces, (size_t)found->count, sizeof(Piece), by_first);
    for (int64_t p = 1; p < found->count; p++) {
        Piece piece = found->pieces[p];
        if (overlap(&found->pieces[kept], piece.first, piece.last))
            widen(&found->pieces[kept], piece.first, piece.last);
        else
            found->pieces[++kept] = piece;
    }
    for (int64_t p = 0; p <= kept; p++) {
        Piece piece = found->pieces[p];
        int32_t status = file_read(fd, (uint8_t *)(image + (uintptr_t)piece.first),
                                   start + piece.first, piece.last - piece.first);
        if (status != READ_OK) return status;
    }
    return READ_OK;
}

static int pieces_room(Worker *worker, Pieces *found) {
    found->pieces = (Piece *)(void *)scratch_room(&worker->pieces, MAX_PIECES * sizeof(Piece));
    found->count = 0;
    return found->pieces != NULL;
}

/* -- raw ------------------------------------------------------------------------------------- */

enum { UNFIT = -1 };

typedef struct {
    Worker *worker;
    int fd, count, total;
    int64_t start, first, last; /* of the chunk in the file; of the parts in the chunk */
    int32_t status;
} Parts;

static int32_t read_parts(Parts *parts) {
    struct iovec *part = parts->worker->parts;
    int64_t at = parts->start + parts->first;
    int left = parts->count;
    parts->count = 0;
    while (left) {
        ssize_t got = preadv(parts->fd, part, left, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return file_status(errno);
        if (got == 0) return READ_SHORT;
        at += got;
        for (; left && (size_t)got >= part->iov_len; part++, left--) got -= (ssize_t)part->iov_len;
        if (left) {
            part->iov_base = (uint8_t *)part->iov_base + got;
            part->iov_len -= (size_t)got;
        }
    }
    return READ_OK;
}

static int add_part(void *to, int64_t first, int64_t last, uint8_t *array) {
    Parts *parts = to;
    int64_t gap = first - parts->last;
    parts->status = UNFIT;
    if (!array || (parts->total && gap < 0)) return 1;
    if (last - first < SHORT_PART && parts->total > FEW_PARTS) return 1;
    parts->status = READ_OK;
    if (parts->count && (gap > GAP || parts->count + 2 > MAX_PARTS))
        if ((parts->status = read_parts(parts)) != READ_OK) return 1;
    struct iovec *list = parts->worker->parts;
    if (!parts->count)
        parts->first = first;
    else if (gap)
        list[parts->count++] = (struct iovec){parts->worker->unwanted, (size_t)gap};
    list[parts->count++] = (struct iovec){array, (size_t)(last - first)};
    parts->last = last;
    parts->total++;
    return 0;
}

int32_t raw_from_file(const Chunk *chunk, int fd, int64_t start) {
    const CopyRows *copy = &chunk->job->copy;
    Worker *worker = chunk->worker;
    worker->first = worker->last = 0;
    if (!copy->swap_unit && chunk->last - chunk->first == 1) {
        Parts parts = {worker, fd, 0, 0, start, 0, 0, READ_OK};
        row_pieces(copy, chunk->first, 0, add_part, &parts);
        if (parts.status == READ_OK) parts.status = read_parts(&parts);
        if (parts.status != UNFIT) return parts.status;
    }
    Pieces found;
    uint8_t *data = scratch_room(&worker->encoded, chunk->hi - chunk->lo);
    if (!data || !pieces_room(worker, &found)) return READ_NO_SPACE;
    uintptr_t image = (uintptr_t)data - (uintptr_t)chunk->lo;
    for (int64_t r = chunk->first; r < chunk->last && found.count <= MAX_PIECES; r++)
        row_pieces(copy, r, GAP, add_piece, &found);
    if (found.count > MAX_PIECES) {
        found.pieces[0] = (Piece){chunk->lo, chunk->hi};
        found.count = 1;
    }
    int32_t status = read_pieces(&found, fd, start, image);
    if (status == READ_OK) copy_chunk(chunk, (uint8_t *)image);
    return status;
}

/* -- Blosc ----------------------------------------------------------------------------------- */

/* Blocks first..last of a chunk; needed[b - first] are the bytes of block b that the chunk's
 * rows touch, an empty range for none. */
typedef struct {
    int64_t blocksize, first, last;
    Piece *needed;
    Piece *latest; /* the block looked at last, and its bytes */
    int64_t from, to;
} Blocks;

static int mark(void *to, int64_t first, int64_t last, uint8_t *array) {
    Blocks *blocks = to;
    (void)array;
    while (first < last) {
        if (first < blocks->from || first >= blocks->to) {
            int64_t b = first / blocks->blocksize;
            blocks->latest = &blocks->needed[b - blocks->first];
            blocks->from = b * blocks->blocksize;
            blocks->to = blocks->from + blocks->blocksize;
        }
        int64_t end = last < blocks->to ? last : blocks->to;
        if (blocks->latest->last == 0)
            *blocks->latest = (Piece){first, end};
        else
            widen(blocks->latest, first, end);
        first = end;
    }
    return 0;
}

static int find_blocks(const Chunk *chunk, const BloscHeader *header, Blocks *blocks) {
    blocks->blocksize = header->blocksize;
    blocks->first = chunk->lo / header->blocksize;
    blocks->last = (chunk->hi - 1) / header->blocksize;
    blocks->from = blocks->to = 0;
    int64_t bytes = (blocks->last - blocks->first + 1) * (int64_t)sizeof(Piece);
    blocks->needed = (Piece *)(void *)scratch_room(&chunk->worker->blocks, bytes);
    if (!blocks->needed) return 0;
    memset(blocks->needed, 0, (size_t)bytes);
    if (blocks->first == blocks->last) {
        blocks->needed[0] = (Piece){chunk->lo, chunk->hi};
        return 1;
    }
    for (int64_t r = chunk->first; r < chunk->last; r++)
        row_pieces(&chunk->job->copy, r, header->blocksize, mark, blocks);
    return 1;
}

/* Where each block ends: where the next one of the file begins. */
typedef struct {
    const int32_t *starts; /* sorted */
    int64_t count;
    int64_t size;
} Ends;

static int by_value(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int find_ends(Worker *worker, const uint8_t *src, int64_t size, int64_t count, Ends *ends) {
    int32_t *starts = (int32_t *)(void *)scratch_room(&worker->starts, count * 4);
    int sorted = 1;
    if (!starts) return 0;
    for (int64_t b = 0; b < count; b++) {
        starts[b] = (int32_t)load_le32(src + BLOSC_HEADER + 4 * b);
        sorted &= b == 0 || starts[b - 1] < starts[b];
    }
    if (!sorted) qsort(starts, (size_t)count, sizeof *starts, by_value);
    *ends = (Ends){starts, count, size};
    return 1;
}

static int64_t end_after(const Ends *ends, int64_t start) {
    int64_t low = 0, high = ends->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (ends->starts[middle] > start)
            high = middle;
        else
            low = middle + 1;
    }
    return low < ends->count && ends->starts[low] < ends->size ? ends->starts[low] : ends->size;
}

/* Decode the needed blocks and copy the rows. `ends` is NULL where all of the chunk is there. */
static int32_t decode_blocks(const Chunk *chunk, const uint8_t *src, int64_t size,
                             const BloscHeader *header, const Blocks *blocks, const Ends *ends) {
    Worker *worker = chunk->worker;
    int64_t first = blocks->first * header->blocksize;
    int64_t last = (blocks->last + 1) * header->blocksize;
    if (last > header->nbytes) last = header->nbytes;
    uint8_t *data = scratch_room(&worker->decoded, last - first);
    if (!data) return READ_NO_SPACE;
    for (int64_t b = blocks->first; b <= blocks->last; b++) {
        Piece needed = blocks->needed[b - blocks->first];
        if (needed.last == 0) continue;
        int64_t start = (int32_t)load_le32(src + BLOSC_HEADER + 4 * b);
        int64_t end = ends ? end_after(ends, start) : size;
        if (!blosc_decode_block(src, end, header, b, needed.first, needed.last,
                                data + (b * header->blocksize - first), &worker->block))
            return DECODED + DECODE_CORRUPT;
    }
    copy_chunk(chunk, (uint8_t *)((uintptr_t)data - (uintptr_t)first));
    return READ_OK;
}

int32_t blosc_from_memory(const Chunk *chunk, const uint8_t *src, int64_t size) {
    BloscHeader header;
    Blocks blocks;
    int status = blosc_header(src, size, &header);
    if (status == DECODE_OK && header.nbytes != chunk->job->nbytes) status = DECODE_SIZE;
    if (status != DECODE_OK) return DECODED + status;
    if (header.memcpyed) {
        copy_chunk(chunk, (uint8_t *)(uintptr_t)src + BLOSC_HEADER);
        return READ_OK;
    }
    if (!find_blocks(chunk, &header, &blocks)) return READ_NO_SPACE;
    return decode_blocks(chunk, src, size, &header, &blocks, NULL);
}

int32_t blosc_from_file(const Chunk *chunk, int fd, int64_t start, int64_t size) {
    Worker *worker = chunk->worker;
    BloscHeader header;
    Blocks blocks;
    Pieces found;
    Ends ends;
    uint8_t *image = scratch_room(&worker->encoded, size);
    worker->first = worker->last = 0;
    if (!image || !pieces_room(worker, &found)) return READ_NO_SPACE;
    int64_t there = size < HEAD ? size : HEAD;
    int32_t status = file_read(fd, image, start, there);
    if (status != READ_OK) return status;
    status = blosc_header(image, size, &header);
    if (status == DECODE_OK && header.nbytes != chunk->job->nbytes) status = DECODE_SIZE;
    if (status != DECODE_OK) return DECODED + status;
    if (header.memcpyed) return raw_from_file(chunk, fd, start + BLOSC_HEADER);
    int64_t table = BLOSC_HEADER + 4 * header.blocks;
    if (table > there) {
        status = file_read(fd, image + there, start + there, table - there);
        if (status != READ_OK) return status;
        there = table;
    }
    if (!find_blocks(chunk, &header, &blocks) ||
        !find_ends(worker, image, size, header.blocks, &ends))
        return READ_NO_SPACE;
    for (int64_t b = blocks.first; b <= blocks.last; b++) {
        if (blocks.needed[b - blocks.first].last == 0) continue;
        int64_t at = (int32_t)load_le32(image + BLOSC_HEADER + 4 * b);
        if (at < table || at > size) return DECODED + DECODE_CORRUPT;
        int64_t end = end_after(&ends, at);
        if (end > there) add_piece(&found, at > there ? at : there, end, NULL);
    }
    if (found.count > MAX_PIECES) {
        found.pieces[0] = (Piece){there, size};
        found.count = 1;
    }
    status = read_pieces(&found, fd, start, (uintptr_t)image);
    if (status != READ_OK) return status;
    return decode_blocks(chunk, image, size, &header, &blocks, &ends);
}
