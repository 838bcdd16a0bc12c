/* Zstandard compression with a context and room that each thread keeps.
 *
 * A new context costs the allocation and clearing of its tables, which is 5 to 8 % of the time that
 * 1 MiB takes at level 3.
 */
#include "native.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT_BYTES (16 * 1024 * 1024)
#define LEVEL 100 /* zstd.h: ZSTD_c_compressionLevel, ZSTD_c_checksumFlag */
#define CHECKSUM 201

typedef struct {
    void *context;
    Scratch room;
} Encoder;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_made;

static void free_context(Encoder *encoder) {
    if (encoder->context && codecs.zstd_encoder_free) codecs.zstd_encoder_free(encoder->context);
    encoder->context = NULL;
}

static void free_room(Encoder *encoder) {
    free(encoder->room.data);
    encoder->room = (Scratch){NULL, 0};
}

static void free_encoder(void *encoder) {
    free_context(encoder);
    free_room(encoder);
    free(encoder);
}

static void make_key(void) {
    key_made = !pthread_key_create(&key, free_encoder);
}

static Encoder *this_encoder(void) {
    pthread_once(&once, make_key);
    if (!key_made) return NULL;
    Encoder *encoder = pthread_getspecific(key);
    if (encoder) return encoder;
    encoder = calloc(1, sizeof *encoder);
    if (encoder && pthread_setspecific(key, encoder)) {
        free(encoder);
        encoder = NULL;
    }
    return encoder;
}

static size_t encode(Encoder *encoder, const uint8_t *src, size_t size, int level, int checksum,
                     uint8_t *dst, size_t room) {
    if (!encoder->context) encoder->context = codecs.zstd_encoder();
    if (!encoder->context) return 0;
    size_t encoded = 0;
    int failed = codecs.zstd_set(encoder->context, LEVEL, level) > (size_t)-256 ||
                 codecs.zstd_set(encoder->context, CHECKSUM, checksum) > (size_t)-256;
    if (!failed) {
        encoded = codecs.zstd_encode(encoder->context, dst, room, src, size);
        failed = encoded > room;
    }
    if (failed) free_context(encoder);
    return failed ? 0 : encoded;
}

size_t zstd_encode(const uint8_t *src, size_t size, int level, int checksum, uint8_t *dst,
                   size_t room) {
    Encoder *encoder = codecs.zstd_encode ? this_encoder() : NULL;
    return encoder ? encode(encoder, src, size, level, checksum, dst, room) : 0;
}

const uint8_t *zstd_encode_kept(const uint8_t *src, size_t size, int level, int checksum,
                                size_t *encoded) {
    Encoder *encoder = codecs.zstd_encode ? this_encoder() : NULL;
    if (!encoder) return NULL;
    size_t bound = codecs.zstd_bound(size);
    if (bound < size || bound > INT64_MAX) return NULL; /* an error is a small negative number */
    uint8_t *room = scratch_room(&encoder->room, (int64_t)bound);
    if (!room) return NULL;
    *encoded = encode(encoder, src, size, level, checksum, room, bound);
    return *encoded ? room : NULL;
}

void zstd_encoded_end(void) {
    Encoder *encoder = codecs.zstd_encode ? this_encoder() : NULL;
    if (!encoder) return;
    if (encoder->room.size > KEPT_BYTES) free_room(encoder);
    if (encoder->context && codecs.zstd_encoder_size(encoder->context) > KEPT_BYTES)
        free_context(encoder);
}
