/* Batched decoding with the codecs of the numcodecs wheel.
 *
 * Checksum first, then header, then the codec straight into its destination. Contexts and scratch
 * live as long as their thread or the call.
 */
#include "native.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

Codecs codecs;
static pthread_key_t context_key;
static int context_key_made;

static void free_context(void *context) {
    if (codecs.zstd_free) codecs.zstd_free(context);
}

void codecs_set(const Codecs *found) {
    codecs = *found;
    if (!context_key_made) context_key_made = !pthread_key_create(&context_key, free_context);
}

void *zstd_context(void) {
    if (!context_key_made || !codecs.zstd_create) return NULL;
    void *context = pthread_getspecific(context_key);
    if (!context) {
        context = codecs.zstd_create();
        pthread_setspecific(context_key, context);
    }
    return context;
}

void *zstd_context_swap(void *context) {
    if (!context_key_made) return context;
    void *old = pthread_getspecific(context_key);
    return pthread_setspecific(context_key, context) ? context : old;
}

void zstd_context_free(void *context) {
    if (context) free_context(context);
}

/* Decode block by block straight into dst, until there is enough; 0 when that did not work out. */
static int zstd_begin(void *context, const uint8_t *src, int64_t size, uint8_t *dst,
                      int64_t dst_size, int64_t wanted) {
    int64_t at = 0, done = 0;
    if (codecs.zstd_begin(context)) return 0;
    while (done < wanted) {
        size_t step = codecs.zstd_step(context);
        if (step == 0 || step > (size_t)(size - at)) return 0;
        size_t got = codecs.zstd_continue(context, dst + done, (size_t)(dst_size - done), src + at,
                                          step);
        if (got > (size_t)(dst_size - done)) return 0; /* errors are small negative numbers */
        done += (int64_t)got;
        at += (int64_t)step;
    }
    return 1;
}

int zstd_decode(const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size, int64_t wanted) {
    ZstdInfo info;
    zstd_scan(src, size, &info);
    if (info.status != DECODE_OK) return info.status;
    if (info.content_size >= 0 && info.content_size != dst_size) return DECODE_SIZE;
    void *context = codecs.zstd ? zstd_context() : NULL;
    if (!context) return DECODE_CORRUPT;
    /* a checksum is that of a whole frame; a size that the header does not say shows at the end */
    if (wanted < dst_size && codecs.zstd_begin && info.frames == 1 && info.skippable == 0 &&
        info.checksums == 0 && info.content_size == dst_size &&
        zstd_begin(context, src, size, dst, dst_size, wanted))
        return DECODE_OK;
    size_t got = codecs.zstd(context, dst, (size_t)dst_size, src, (size_t)size);
    if (got == (size_t)dst_size) return DECODE_OK;
    if (info.content_size >= 0) return DECODE_CORRUPT; /* not even what its own header says */
    /* errors are small negative numbers; 70 = the destination is too small (zstd_errors.h) */
    return got > (size_t)-256 && got != (size_t)-70 ? DECODE_CORRUPT : DECODE_SIZE;
}

static int lz4_decode(const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size) {
    if (size < 4) return DECODE_TRUNCATED;
    if ((int32_t)load_le32(src) < 0 || size > INT_MAX) return DECODE_HEADER;
    if (load_le32(src) != dst_size) return DECODE_SIZE;
    if (!codecs.lz4) return DECODE_CORRUPT;
    int got = codecs.lz4((const char *)src + 4, (char *)dst, (int)(size - 4), (int)dst_size);
    return got == dst_size ? DECODE_OK : DECODE_CORRUPT;
}

int checksum(const uint8_t *src, int64_t *size) {
    if (*size < 4) return DECODE_TRUNCATED;
    *size -= 4;
    return crc32c(src, (size_t)*size) == load_le32(src + *size) ? DECODE_OK : DECODE_CHECKSUM;
}

int decode_one(int codec, const uint8_t *src, int64_t size, uint8_t *dst, int64_t dst_size,
               int64_t lo, int64_t hi, Scratch *scratch) {
    switch (codec) {
    case CODEC_RAW:
        if (size != dst_size) return DECODE_SIZE;
        if (hi > lo) memcpy(dst + lo, src + lo, (size_t)(hi - lo));
        return DECODE_OK;
    case CODEC_BLOSC: return blosc_decode(src, size, dst, dst_size, lo, hi, scratch);
    case CODEC_ZSTD: return zstd_decode(src, size, dst, dst_size, hi);
    default: return lz4_decode(src, size, dst, dst_size);
    }
}

void decode_batch(int codec, int checked, const uint64_t *src_ptrs, const int64_t *src_sizes,
                  const uint64_t *dst_ptrs, int64_t dst_size, const int64_t *lo, const int64_t *hi,
                  int64_t n, int32_t *statuses) {
    Scratch scratch = {NULL, 0};
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *src = (const uint8_t *)(uintptr_t)src_ptrs[i];
        int64_t size = src_sizes[i];
        statuses[i] = DECODE_OK;
        if (!src) continue;
        if (checked) statuses[i] = checksum(src, &size);
        if (statuses[i] != DECODE_OK) continue;
        statuses[i] = decode_one(codec, src, size, (uint8_t *)(uintptr_t)dst_ptrs[i], dst_size,
                                 lo ? lo[i] : 0, hi ? hi[i] : dst_size, &scratch);
    }
    free(scratch.data);
}
