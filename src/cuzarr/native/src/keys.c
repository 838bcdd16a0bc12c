/* Chunk keys (Zarr v3 core specification, "chunk key encoding"; v2, "storage"). */
#include "native.h"

static int digits(uint64_t x) {
    int n = 1;
    for (; x >= 10; x /= 10) n++;
    return n;
}

static char *put(char *to, const char *text, int64_t size) {
    memcpy(to, text, (size_t)size);
    return to + size;
}

/* Fill offsets[0..n]; the total, or -1 when it does not fit int64 (only with absurd prefixes). */
int64_t keys_measure(const KeyFormat *f, int64_t *offsets) {
    int64_t fixed = f->prefix_size + f->suffix_size;
    /* "c" stands before every coordinate, or alone; v2 writes "0" for no coordinates */
    if (f->is_default || f->d == 0) fixed += 1;
    int64_t separators = f->is_default ? f->d : f->d > 0 ? f->d - 1 : 0;
    offsets[0] = 0;
    for (int64_t i = 0; i < f->n; i++) {
        int64_t size = fixed + separators;
        for (int64_t a = 0; a < f->d; a++) size += digits((uint64_t)f->coords[i * f->d + a]);
        if (size > INT64_MAX - offsets[i]) return -1;
        offsets[i + 1] = offsets[i] + size;
    }
    return offsets[f->n];
}

void keys_write(const KeyFormat *f, char *to) {
    for (int64_t i = 0; i < f->n; i++) {
        to = put(to, f->prefix, f->prefix_size);
        if (f->is_default)
            *to++ = 'c';
        else if (f->d == 0)
            *to++ = '0';
        for (int64_t a = 0; a < f->d; a++) {
            uint64_t x = (uint64_t)f->coords[i * f->d + a];
            int size = digits(x);
            if (f->is_default || a > 0) *to++ = f->separator;
            for (int k = size - 1; k >= 0; k--, x /= 10) to[k] = (char)('0' + x % 10);
            to += size;
        }
        to = put(to, f->suffix, f->suffix_size);
    }
}
