/* Blosc 1 chunks: header, block table, streams, and a decoder of the blocks that a range touches.
 *
 * Chunk = 16-byte header (version, version of the codec, flags, typesize, then little-endian u32:
 * nbytes, blocksize, cbytes), then either the raw bytes (memcpyed) or int32 starts of the blocks.
 * A block is a list of streams: int32 size, then that many bytes; a stream as long as what it
 * decodes to is stored raw. c-blosc's own decoder is not called: it makes a zstd context per stream
 * and trusts more of the chunk than it should.
 */
#include "native.h"

#include <limits.h>
#include <stdlib.h>

#define HEADER 16
#define FLAG_SHUFFLE 0x01
#define FLAG_MEMCPYED 0x02
#define FLAG_BITSHUFFLE 0x04
#define FLAG_RESERVED 0x08
#define FLAG_NOT_SPLIT 0x10
#define MAX_SPLITS 16
#define MIN_SPLIT_ELEMENTS 128

int blosc_header(const uint8_t *src, int64_t size, BloscHeader *header) {
    if (size < HEADER) return DECODE_TRUNCATED;
    int flags = src[2];
    int64_t cbytes = load_le32(src + 12);
    memset(header, 0, sizeof *header);
    header->format = flags >> 5;
    header->typesize = src[3];
    header->nbytes = load_le32(src + 4);
    header->blocksize = load_le32(src + 8);
    header->memcpyed = (flags & FLAG_MEMCPYED) != 0;
    if (src[0] != 2 || flags & FLAG_RESERVED || header->typesize == 0) return DECODE_HEADER;
    if (header->nbytes > INT32_MAX - HEADER || header->blocksize > INT32_MAX) return DECODE_HEADER;
    if (cbytes > size) return DECODE_TRUNCATED;
    if (cbytes < size) return DECODE_HEADER;
    if (header->nbytes == 0) return DECODE_OK;
    if (header->blocksize == 0 || header->blocksize > header->nbytes) return DECODE_HEADER;
    header->blocks = (header->nbytes + header->blocksize - 1) / header->blocksize;
    if (header->memcpyed)
        return cbytes == header->nbytes + HEADER ? DECODE_OK : DECODE_HEADER;
    if (header->format > 4 || src[1] != 1) return DECODE_HEADER; /* all formats are version 1 */
    if (header->blocks > (cbytes - HEADER) / 4) return DECODE_HEADER;
    if (flags & FLAG_SHUFFLE && header->typesize > 1)
        header->shuffle = 1;
    else if (!(flags & FLAG_SHUFFLE) && flags & FLAG_BITSHUFFLE)
        header->shuffle = 2;
    header->split = !(flags & FLAG_NOT_SPLIT) && header->typesize <= MAX_SPLITS &&
                    header->blocksize / header->typesize >= MIN_SPLIT_ELEMENTS;
    /* the streams of a split block must cover it */
    if (header->split && header->blocksize % header->typesize) return DECODE_HEADER;
    return DECODE_OK;
}

int blosc_block(const uint8_t *src, int64_t size, const BloscHeader *header, int64_t block,
                BloscStream *streams) {
    int64_t at = (int32_t)load_le32(src + HEADER + 4 * block);
    int64_t first = block * header->blocksize;
    int64_t length = header->nbytes - first;
    int count = 1;
    if (length >= header->blocksize) {
        length = header->blocksize;
        if (header->split) count = (int)header->typesize;
    }
    if (at < HEADER + 4 * header->blocks) return -1;
    for (int s = 0; s < count; s++) {
        if (at > size - 4) return -1;
        int64_t csize = (int32_t)load_le32(src + at);
        at += 4;
        if (csize <= 0 || csize > size - at) return -1; /* no format has an empty stream */
        streams[s].source = at;
        streams[s].source_size = csize;
        streams[s].destination = first + s * (length / count);
        streams[s].destination_size = length / count;
        streams[s].raw = csize == length / count;
        at += csize;
    }
    return count;
}

/* Whether to stop early pays: LZ4's partial decoder copies the match it stops in byte by byte, and
 * streams of few bytes are nothing but long matches. */
static int stops_early(int64_t size, int64_t wanted, int64_t dst_size) {
    return codecs.lz4_partial && wanted < dst_size - dst_size / 16 && size > dst_size / 16;
}

/* Decode at least the first `wanted` of dst_size bytes. */
static int decode_stream(int32_t format, const uint8_t *src, int64_t size, uint8_t *dst,
                         int64_t wanted, int64_t dst_size) {
    if (format == 1 && stops_early(size, wanted, dst_size))
        return codecs.lz4_partial((const char *)src, (char *)dst, (int)size, (int)wanted,
                                  (int)wanted) == wanted;
    switch (format) {
    case 0: return codecs.blosclz && codecs.blosclz(src, (int)size, dst, (int)dst_size) == dst_size;
    case 1:
        return codecs.lz4 &&
               codecs.lz4((const char *)src, (char *)dst, (int)size, (int)dst_size) == dst_size;
    case 3: {
        unsigned long got = (unsigned long)dst_size;
        return codecs.zlib && codecs.zlib(dst, &got, src, (unsigned long)size) == 0 &&
               (int64_t)got == dst_size;
    }
    case 4: {
        void *context = codecs.zstd ? zstd_context() : NULL;
        return context && codecs.zstd(context, dst, (size_t)dst_size, src, (size_t)size) ==
                              (size_t)dst_size;
    }
    default: return 0; /* snappy is not built into the wheels of numcodecs */
    }
}

/* What of a block is needed: bytes lo <= b < hi once decoded and unshuffled. */
typedef struct {
    int64_t length, lo, hi;
    int64_t first, last; /* the elements that hold them, leftover bytes apart */
} Part;

static Part part_of(const BloscHeader *header, int64_t block, int64_t lo, int64_t hi) {
    int64_t begin = block * header->blocksize;
    Part part = {.length = header->nbytes - begin};
    if (part.length > header->blocksize) part.length = header->blocksize;
    part.lo = lo > begin ? lo - begin : 0;
    part.hi = hi - begin < part.length ? hi - begin : part.length;
    int64_t elements = part.length / header->typesize;
    part.first = part.lo / header->typesize;
    part.last = (part.hi + header->typesize - 1) / header->typesize;
    if (part.first > elements) part.first = elements;
    if (part.last > elements) part.last = elements;
    return part;
}

/* How many of the first bytes of a stream at `offset` of its block are needed. */
static int64_t wanted_of(const BloscHeader *header, const Part *part, int64_t offset, int64_t size,
                         int count) {
    int64_t wanted = size;
    if (header->shuffle == 0)
        wanted = part->lo >= offset + size ? 0 : part->hi - offset;
    else if (header->shuffle == 1 && count > 1)
        wanted = part->last; /* the stream is one byte plane */
    else if (header->shuffle == 1 && part->hi <= part->length / header->typesize * header->typesize)
        wanted = (header->typesize - 1) * (part->length / header->typesize) + part->last;
    return wanted < 0 ? 0 : wanted < size ? wanted : size;
}

static int decode_streams(const uint8_t *src, int64_t size, const BloscHeader *header, int64_t b,
                        const Part *part, uint8_t *to) {
    BloscStream streams[MAX_SPLITS];
    int count = blosc_block(src, size, header, b, streams);
    if (count < 0) return 0;
    for (int s = 0; s < count; s++) {
        const BloscStream *stream = &streams[s];
        int64_t offset = stream->destination - b * header->blocksize;
        int64_t wanted = wanted_of(header, part, offset, stream->destination_size, count);
        if (wanted == 0) continue;
        if (stream->raw)
            memcpy(to + offset, src + stream->source, (size_t)wanted);
        else if (!decode_stream(header->format, src + stream->source, stream->source_size,
                                to + offset, wanted, stream->destination_size))
            return 0;
    }
    return 1;
}

int blosc_decode_block(const uint8_t *src, int64_t end, const BloscHeader *header, int64_t block,
                       int64_t lo, int64_t hi, uint8_t *to, Scratch *scratch) {
    Part part = part_of(header, block, lo, hi);
    uint8_t *shuffled = NULL;
    if (header->shuffle) {
        shuffled = scratch_room(scratch, header->blocksize * header->shuffle);
        if (!shuffled) return 0;
    }
    if (!decode_streams(src, end, header, block, &part, shuffled ? shuffled : to)) return 0;
    if (header->shuffle == 1) {
        int64_t elements = part.length / header->typesize, whole = elements * header->typesize;
        unshuffle(header->typesize, elements, part.first, part.last, shuffled, to);
        if (part.hi > whole)
            memcpy(to + whole, shuffled + whole, (size_t)(part.length - whole));
    } else if (header->shuffle == 2) {
        bitunshuffle(header->typesize, part.length, shuffled, to, shuffled + header->blocksize);
    }
    return 1;
}

int blosc_decode(const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size, int64_t lo,
                 int64_t hi, Scratch *scratch) {
    BloscHeader header;
    int status = blosc_header(src, size, &header);
    if (status != DECODE_OK) return status;
    if (header.nbytes != dst_size) return DECODE_SIZE;
    if (lo >= hi) return DECODE_OK;
    if (header.memcpyed) {
        memcpy(dst + lo, src + HEADER + lo, (size_t)(hi - lo));
        return DECODE_OK;
    }
    for (int64_t b = lo / header.blocksize; b <= (hi - 1) / header.blocksize; b++)
        if (!blosc_decode_block(src, size, &header, b, lo, hi, dst + b * header.blocksize, scratch))
            return DECODE_CORRUPT;
    return DECODE_OK;
}

void blosc_count(const uint64_t *ptrs, const int64_t *sizes, int64_t n, int64_t nbytes,
                 const BloscColumns *to) {
    BloscStream streams[MAX_SPLITS];
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *src = (const uint8_t *)(uintptr_t)ptrs[i];
        BloscHeader header = {0};
        int64_t count = 0;
        int status = src ? blosc_header(src, sizes[i], &header) : DECODE_OK;
        if (src && status == DECODE_OK && header.nbytes != nbytes) status = DECODE_SIZE;
        if (status == DECODE_OK && header.memcpyed && header.blocks) {
            count = 1;
        } else if (status == DECODE_OK) {
            for (int64_t b = 0; b < header.blocks; b++) {
                int found = blosc_block(src, sizes[i], &header, b, streams);
                if (found < 0) {
                    status = DECODE_CORRUPT;
                    break;
                }
                count += found;
            }
        }
        if (status != DECODE_OK) {
            memset(&header, 0, sizeof header);
            count = 0;
        }
        to->statuses[i] = status;
        to->counts[i] = count;
        to->format[i] = header.format;
        to->memcpyed[i] = (uint8_t)header.memcpyed;
        to->shuffle[i] = header.shuffle;
        to->typesize[i] = header.typesize;
        to->blocksize[i] = header.blocksize;
    }
}

/* One chunk at a time, never more than was counted: the bytes may have changed since. */
static int64_t fill_chunk(const uint8_t *src, int64_t size, int64_t room, BloscStream *to) {
    BloscStream streams[MAX_SPLITS];
    BloscHeader header;
    int64_t done = 0;
    if (!src || blosc_header(src, size, &header) != DECODE_OK) return 0;
    if (header.memcpyed && header.blocks) {
        if (room < 1) return 0;
        to[0] = (BloscStream){HEADER, header.nbytes, 0, header.nbytes, 1};
        return 1;
    }
    for (int64_t b = 0; b < header.blocks; b++) {
        int count = blosc_block(src, size, &header, b, streams);
        if (count < 0 || count > room - done) return done;
        memcpy(to + done, streams, (size_t)count * sizeof *streams);
        done += count;
    }
    return done;
}

int blosc_fill(const uint64_t *ptrs, const int64_t *sizes, int64_t n, const int64_t *first,
               const StreamColumns *to) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++)
        if (first[i + 1] - first[i] > most) most = first[i + 1] - first[i];
    if (most == 0) return 1;
    BloscStream *streams = malloc((size_t)most * sizeof *streams);
    int same = streams != NULL;
    for (int64_t i = 0; same && i < n; i++) {
        int64_t room = first[i + 1] - first[i];
        if (room == 0) continue;
        same = fill_chunk((const uint8_t *)(uintptr_t)ptrs[i], sizes[i], room, streams) == room;
        for (int64_t s = 0; same && s < room; s++) {
            int64_t row = first[i] + s;
            to->chunk[row] = i;
            to->source[row] = streams[s].source;
            to->source_size[row] = streams[s].source_size;
            to->destination[row] = streams[s].destination;
            to->destination_size[row] = streams[s].destination_size;
            to->raw[row] = (uint8_t)streams[s].raw;
        }
    }
    free(streams);
    return same;
}
