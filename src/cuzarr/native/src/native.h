/* Shared by the sources of cuzarr.native._native.
 *
 * Every function below runs without the GIL and without Python objects: the module (module.c)
 * checks types and lengths, then hands plain columns over. Statuses equal those of the Python
 * twin; the contract tests compare them.
 */
#ifndef CUZARR_NATIVE_H
#define CUZARR_NATIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* cuzarr.storage.base.Status */
enum { READ_OK = 0, READ_MISSING = 1, READ_SHORT = 2, READ_NO_SPACE = 3, READ_ERRNO = 1000 };

/* decode_batch, blosc_streams, zstd_frames */
enum {
    DECODE_OK = 0,
    DECODE_HEADER = 1,    /* not that codec, or a header that contradicts itself */
    DECODE_SIZE = 2,      /* decodes to another number of bytes than the metadata says */
    DECODE_CORRUPT = 3,   /* the codec failed */
    DECODE_CHECKSUM = 4,  /* the stored checksum is not that of the bytes */
    DECODE_TRUNCATED = 5  /* the bytes end early */
};

#define MAX_AXES 64 /* of NumPy */
#define SLAB_ALIGN 16

static inline uint32_t load_le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p) {
    return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

/* threads.c */
/* Run work(shared) on up to `wanted` threads, the calling one included. */
void run_threads(int wanted, void *(*work)(void *), void *shared);
/* Of one call of run_threads: on the main thread it asks for signals now and then; all stop then. */
typedef struct {
    int (*interrupted)(void); /* NULL = never */
    pthread_t caller;
    int64_t asked;
    _Atomic int stop;
} Signals;
void signals_begin(Signals *signals, int (*interrupted)(void)); /* by the calling thread */
int signals_stop(Signals *signals); /* so cheap that every chunk can ask */

/* scratch.c */
/* Scratch of one thread, grown as needed; what it held is lost then. */
typedef struct {
    uint8_t *data;
    size_t size;
} Scratch;
uint8_t *scratch_room(Scratch *scratch, int64_t size); /* NULL when out of memory */

/* files.c */
typedef struct {
    const char *root;
    const char *keys;
    const int64_t *offsets, *starts, *lengths;
} FileRanges;

typedef struct {
    int fd; /* -1 when nothing is open */
    int32_t status;
    int64_t size;
    int64_t key; /* request whose key is open; -1 = none */
} OpenFile;

/* The descriptor of the root directory, or -1 and a status. */
int file_root(const char *root, int32_t *status);
/* Open the file of request i; 0 when it is the one that is open. */
int file_open(int root, const FileRanges *ranges, int64_t i, OpenFile *file);
void file_close(OpenFile *file);
int file_same_key(const FileRanges *ranges, int64_t a, int64_t b);
/* Where a range of an open file begins, and its size; 0 when the file ends before. */
int file_range(const OpenFile *file, int64_t start, int64_t length, int64_t *first, int64_t *size);
int32_t file_read(int fd, uint8_t *to, int64_t start, int64_t size);
int32_t file_status(int error); /* of an errno */

typedef struct {
    FileRanges files;
    int64_t n;
    uint8_t *slab;
    int64_t slab_size;
    int threads;
    int64_t *positions, *sizes;
    int32_t *statuses;
} ReadFiles;

int64_t read_files(const ReadFiles *job);

/* keys.c */
typedef struct {
    const char *prefix, *suffix;
    int64_t prefix_size, suffix_size;
    const int64_t *coords; /* (n, d), none negative */
    int64_t n, d;
    int is_default;
    char separator;
} KeyFormat;

int64_t keys_measure(const KeyFormat *format, int64_t *offsets);
void keys_write(const KeyFormat *format, char *to);

/* copy.c */
typedef struct {
    int scatter;
    int64_t n;
    int axes;
    const int64_t *start, *count, *out; /* (n, axes) */
    const int64_t *step;
    const int64_t *index[MAX_AXES], *out_index[MAX_AXES]; /* both NULL for an affine axis */
    const uint64_t *chunk_ptrs;
    const int64_t *chunk_strides, *array_strides;
    uint8_t *array;
    int64_t itemsize;
    int swap_unit; /* 0, 2, 4 or 8 */
    const uint8_t *fill;
} CopyRows;

void copy_rows(const CopyRows *job);
/* Copy between the array and the chunk whose element 0 is at `base` (NULL = missing). */
void copy_row(const CopyRows *job, int64_t i, uint8_t *base);

/* Repeat an item of `size` bytes over `total`, a multiple of that. */
void fill_items(uint8_t *to, const uint8_t *item, size_t size, size_t total);

/* One axis of a row, after neighbours that are contiguous on both sides became one. */
typedef struct {
    int64_t count, chunk_step, array_step; /* bytes */
    const int64_t *index, *out_index;      /* this row's part of the lists, or NULL */
    int64_t chunk_stride, array_stride;    /* bytes per list unit */
} Line;

static inline int64_t line_in_chunk(const Line *line, int64_t i) {
    return line->index ? line->index[i] * line->chunk_stride : i * line->chunk_step;
}

static inline int64_t line_in_array(const Line *line, int64_t i) {
    return line->index ? line->out_index[i] * line->array_stride : i * line->array_step;
}

/* Reduce row i to lines[0..result), innermost last; -1 for an empty row. Offsets of its begin. */
int row_lines(const CopyRows *job, int64_t i, Line *lines, int64_t *chunk, int64_t *array);

/* Step the odometer over lines[0..loops) and move both offsets; 0 when it is through. */
static inline int next_line(const Line *lines, int loops, int64_t *at, int64_t *chunk,
                            int64_t *array) {
    for (int a = loops - 1; a >= 0; a--) {
        *chunk -= line_in_chunk(&lines[a], at[a]);
        *array -= line_in_array(&lines[a], at[a]);
        at[a] = at[a] + 1 < lines[a].count ? at[a] + 1 : 0;
        *chunk += line_in_chunk(&lines[a], at[a]);
        *array += line_in_array(&lines[a], at[a]);
        if (at[a]) return 1;
    }
    return 0;
}

/* needed.c */
enum { SPAN_EMPTY, SPAN_INSIDE, SPAN_OUTSIDE };
/* Bytes lo <= b < hi of a chunk of nbytes that row i touches. */
int row_span(const CopyRows *job, int64_t i, int64_t nbytes, int64_t *lo, int64_t *hi);
int64_t row_items(const CopyRows *job, int64_t i);
/* Given bytes first <= b < last of a chunk, and where they go when that is one piece, else NULL.
 * Returns whether to stop. */
typedef int (*PieceVisitor)(void *to, int64_t first, int64_t last, uint8_t *array);
/* Visit the bytes of a chunk that row i touches, in pieces; strides up to `gap` are passed over. */
void row_pieces(const CopyRows *job, int64_t i, int64_t gap, PieceVisitor visit, void *to);

/* crc32c.c */
void crc32c_init(void);
uint32_t crc32c(const uint8_t *data, size_t size);

/* shuffle.c */
/* Only elements first <= e < last, of `elements`. */
void unshuffle(int64_t typesize, int64_t elements, int64_t first, int64_t last, const uint8_t *src,
               uint8_t *dst);
void bitunshuffle(int64_t typesize, int64_t size, const uint8_t *src, uint8_t *dst,
                  uint8_t *scratch);

/* Codec functions of the numcodecs wheel, found by symbols.py; NULL = not available. */
typedef struct {
    int (*lz4)(const char *src, char *dst, int src_size, int dst_size);
    int (*lz4_partial)(const char *src, char *dst, int src_size, int wanted, int dst_size);
    void *(*zstd_create)(void);
    size_t (*zstd_free)(void *context);
    size_t (*zstd)(void *context, void *dst, size_t dst_size, const void *src, size_t src_size);
    /* the same step by step; all NULL or none */
    size_t (*zstd_begin)(void *context);
    size_t (*zstd_step)(void *context);
    size_t (*zstd_continue)(void *context, void *dst, size_t dst_size, const void *src,
                            size_t src_size);
    int (*blosclz)(const void *src, int src_size, void *dst, int dst_size);
    int (*zlib)(uint8_t *dst, unsigned long *dst_size, const uint8_t *src, unsigned long src_size);
    /* compression; all NULL or none */
    void *(*zstd_encoder)(void);
    size_t (*zstd_encoder_free)(void *context);
    size_t (*zstd_encoder_size)(const void *context);
    size_t (*zstd_set)(void *context, int parameter, int value);
    size_t (*zstd_bound)(size_t src_size);
    size_t (*zstd_encode)(void *context, void *dst, size_t dst_size, const void *src,
                          size_t src_size);
    int (*blosc_encode)(int level, int shuffle, size_t typesize, size_t nbytes, const void *src,
                        void *dst, size_t dst_size, const char *compressor, size_t blocksize,
                        int threads);
} Codecs;

extern Codecs codecs;
void codecs_set(const Codecs *found);
void *zstd_context(void); /* of this thread, reused; NULL when out of memory */
void *zstd_context_swap(void *context); /* give this thread another one; returns the old */
void zstd_context_free(void *context);
/* Decode the first `wanted` bytes at least of a zstd buffer; a DECODE_ status. */
int zstd_decode(const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size, int64_t wanted);

/* encode.c */
/* Compress to one frame; its bytes, or 0 where they do not fit, out of memory, or without the
 * functions. */
size_t zstd_encode(const uint8_t *src, size_t size, int level, int checksum, uint8_t *dst,
                   size_t room);
/* The same in memory of this thread, which stays until the next call or zstd_encoded_end(), or
 * NULL. */
const uint8_t *zstd_encode_kept(const uint8_t *src, size_t size, int level, int checksum,
                                size_t *encoded);
void zstd_encoded_end(void); /* give back what is too large to keep */

/* zstd.c */
typedef struct {
    int32_t status;
    int64_t frames, skippable, checksums;
    int64_t content_size; /* of all frames; -1 where one does not say */
    int64_t window_size;  /* the largest */
    int64_t dictionary;   /* the first that is not 0 */
} ZstdInfo;

void zstd_scan(const uint8_t *src, int64_t size, ZstdInfo *info);

/* blosc.c */
typedef struct {
    int32_t format; /* 0 blosclz, 1 lz4, 2 snappy, 3 zlib, 4 zstd */
    int32_t shuffle; /* 0 none, 1 byte, 2 bit */
    int32_t memcpyed;
    int32_t split; /* full blocks have typesize streams */
    int64_t typesize, nbytes, blocksize, blocks;
} BloscHeader;

typedef struct {
    int64_t source, source_size; /* from the chunk's start, without the size field */
    int64_t destination, destination_size;
    int32_t raw;
} BloscStream;

/* Check the 16 bytes and the room for the block table; a DECODE_ status. */
int blosc_header(const uint8_t *src, int64_t size, BloscHeader *header);
/* Streams of one block, written to streams[0..typesize); their number, or -1 when corrupt. */
int blosc_block(const uint8_t *src, int64_t size, const BloscHeader *header, int64_t block,
                BloscStream *streams);
/* Columns of n chunks, and of their streams; chunks with a status other than 0 have none. */
typedef struct {
    int32_t *statuses;
    int64_t *counts;
    int32_t *format, *shuffle;
    uint8_t *memcpyed;
    int64_t *typesize, *blocksize;
} BloscColumns;
typedef struct {
    int64_t *chunk, *source, *source_size, *destination, *destination_size;
    uint8_t *raw;
} StreamColumns;
void blosc_count(const uint64_t *ptrs, const int64_t *sizes, int64_t n, int64_t nbytes,
                 const BloscColumns *columns);
/* first[0..n]: ascending rows of each chunk's streams; 0 when the bytes changed since the count. */
int blosc_fill(const uint64_t *ptrs, const int64_t *sizes, int64_t n, const int64_t *first,
               const StreamColumns *columns);
/* Decode bytes lo <= b < hi of a chunk, which lie in one block, to their place in the `to` of the
 * block; the streams end before `end` of the source. 0 when corrupt. */
int blosc_decode_block(const uint8_t *src, int64_t end, const BloscHeader *header, int64_t block,
                       int64_t lo, int64_t hi, uint8_t *to, Scratch *scratch);
int blosc_decode(const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size, int64_t lo,
                 int64_t hi, Scratch *scratch);

/* decode.c */
enum { CODEC_RAW = 0, CODEC_BLOSC = 1, CODEC_ZSTD = 2, CODEC_LZ4 = 3 };
void decode_batch(int codec, int checked, const uint64_t *src_ptrs, const int64_t *src_sizes,
                  const uint64_t *dst_ptrs, int64_t dst_size, const int64_t *lo, const int64_t *hi,
                  int64_t n, int32_t *statuses);
/* Verify the trailing CRC-32C and take it off the size; a DECODE_ status. */
int checksum(const uint8_t *src, int64_t *size);
/* What is behind the checksum; a DECODE_ status. */
int decode_one(int codec, const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size,
               int64_t lo, int64_t hi, Scratch *scratch);

/* wave.c */
#define DECODED 100 /* + a DECODE_ status, in the statuses of a wave */
typedef struct {
    FileRanges files;
    const uint64_t *ptrs; /* memory, with sizes; NULL = files */
    const int64_t *sizes;
    const uint8_t *present;
    int codec, checked;
    int64_t nbytes, limit; /* decoded; the most that is read of an encoded chunk */
    const int64_t *shape;  /* of a chunk, when a whole one is contiguous in the array; or NULL */
    int64_t n;             /* chunks */
    const int64_t *first;  /* chunk i has the rows first[i] <= row < first[i + 1]; NULL = row i */
    CopyRows copy;         /* scatter, no chunk_ptrs */
    int threads;
    int32_t *statuses;
    int (*interrupted)(void); /* asked by the calling thread now and then; NULL = never */
} ReadWave;

/* 0 when a row reaches outside its chunk. Once interrupted, what is not begun keeps a bad status. */
int read_wave(const ReadWave *job);

/* write.c */
typedef struct {
    const char *root, *keys;
    const int64_t *offsets;
    const char *temporary; /* beginning of the names of files that are not complete yet */
    int codec, checked;    /* CODEC_RAW, CODEC_BLOSC, CODEC_ZSTD; a CRC-32C behind it */
    int level, content_checksum, shuffle;
    int64_t typesize, blocksize;
    const char *compressor;
    int inside; /* threads that Blosc may use for one chunk */
    int64_t nbytes;       /* of a decoded chunk */
    const int64_t *shape; /* elements along each axis: rows that are less begin as fill value */
    int64_t n, files;     /* chunks; keys and statuses */
    CopyRows copy; /* gather, no chunk_ptrs; `fill` is an item as it is stored */
    int write_empty, threads;
    const int64_t *first; /* file f has the chunks first[f] <= i < first[f + 1]; NULL = chunk f */
    const int64_t *slot;  /* of each chunk in the index of its shard; ascending in each */
    int64_t slots;
    int index_checked, index_at_end;
    int32_t *statuses; /* READ_OK; READ_MISSING: nothing but fill value, not stored; else undone */
    int (*interrupted)(void);
} WriteWave;

/* 0 when a row reaches outside its chunk: nothing is written then. */
int write_wave(const WriteWave *job);

#endif
