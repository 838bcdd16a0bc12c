/* Zstandard frames (RFC 8878, section 3.1), walked without decoding.
 *
 * Every frame header and every block header is read, so that the end of each frame is known, a
 * truncated buffer is told from a corrupt one, and a content size that is not the expected one is
 * seen before anything is decoded.
 */
#include "native.h"

#define MAGIC 0xFD2FB528u
#define SKIPPABLE 0x184D2A50u
#define MAX_BLOCK (128 * 1024)

static uint64_t load_le(const uint8_t *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)p[i] << 8 * i;
    return x;
}

/* Walk one data frame from `at` (behind the magic number); the position behind it, or -status. */
static int64_t frame(const uint8_t *src, int64_t size, int64_t at, ZstdInfo *info) {
    static const int dictionary_bytes[4] = {0, 1, 2, 4}, content_bytes[4] = {0, 2, 4, 8};
    if (at >= size) return -DECODE_TRUNCATED;
    uint8_t descriptor = src[at++];
    int single = descriptor >> 5 & 1, checksum = descriptor >> 2 & 1;
    int of_content = content_bytes[descriptor >> 6], of_dictionary = dictionary_bytes[descriptor & 3];
    if (of_content == 0 && single) of_content = 1;
    if (descriptor & 8) return -DECODE_HEADER; /* reserved bit */
    if (size - at < !single + of_dictionary + of_content) return -DECODE_TRUNCATED;
    uint64_t window = 0, content = 0;
    if (!single) {
        uint64_t base = 1ull << (10 + (src[at] >> 3));
        window = base + base / 8 * (src[at] & 7);
        at++;
    }
    uint64_t dictionary = load_le(src + at, of_dictionary);
    at += of_dictionary;
    content = load_le(src + at, of_content) + (of_content == 2 ? 256 : 0);
    at += of_content;
    if (of_content && content > INT64_MAX) return -DECODE_HEADER;
    if (single) window = content;
    if (info->dictionary == 0) info->dictionary = (int64_t)dictionary;
    if ((int64_t)window > info->window_size) info->window_size = (int64_t)window;
    if (!of_content || info->content_size < 0) {
        info->content_size = -1;
    } else {
        if ((int64_t)content > INT64_MAX - info->content_size) return -DECODE_HEADER;
        info->content_size += (int64_t)content;
    }
    info->checksums += checksum;
    for (int last = 0; !last;) {
        if (size - at < 3) return -DECODE_TRUNCATED;
        uint32_t header = (uint32_t)load_le(src + at, 3);
        int kind = header >> 1 & 3;
        int64_t length = header >> 3;
        last = header & 1;
        at += 3;
        if (kind == 3 || length > MAX_BLOCK) return -DECODE_CORRUPT;
        if (kind == 1) length = 1; /* run-length block: one byte, repeated */
        if (size - at < length) return -DECODE_TRUNCATED;
        at += length;
    }
    if (size - at < 4 * checksum) return -DECODE_TRUNCATED;
    return at + 4 * checksum;
}

void zstd_scan(const uint8_t *src, int64_t size, ZstdInfo *info) {
    int64_t at = 0;
    memset(info, 0, sizeof *info);
    while (at < size || at == 0) {
        if (size - at < 4) {
            info->status = DECODE_TRUNCATED;
            return;
        }
        uint32_t magic = load_le32(src + at);
        if (magic == MAGIC) {
            int64_t end = frame(src, size, at + 4, info);
            if (end < 0) {
                info->status = (int32_t)-end;
                return;
            }
            info->frames++;
            at = end;
        } else if ((magic & ~15u) == SKIPPABLE) {
            if (size - at < 8 || size - at - 8 < (int64_t)load_le32(src + at + 4)) {
                info->status = DECODE_TRUNCATED;
                return;
            }
            at += 8 + (int64_t)load_le32(src + at + 4);
            info->skippable++;
        } else {
            info->status = at == 0 ? DECODE_HEADER : DECODE_CORRUPT;
            return;
        }
    }
    info->status = DECODE_OK;
}
