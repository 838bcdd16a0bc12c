/* Inverses of Blosc's byte and bit shuffle.
 *
 * Byte shuffle: byte j of every element, plane after plane. Undone by rounds of interleaving: with
 * t planes, log2(t) rounds that zip plane i with plane i + t/2 leave the elements in order.
 * Bit shuffle: row (byte j, bit k) = j * 8 + k holds bit k of byte j of every element, least
 * significant bit first. Undone by transposing 8 x 8 bits, which leaves byte planes.
 * Trailing bytes that fill no element are copied.
 */
#include "native.h"

#if defined(__SSE2__)
#include <emmintrin.h>

/* Zip T vectors of 16 bytes, one per plane, to 16 elements of T bytes. */
#define ZIP(T)                                                                                     \
    static inline void zip##T(__m128i *v) {                                                        \
        for (int round = 1; round < T; round *= 2) {                                               \
            __m128i w[T];                                                                          \
            for (int i = 0; i < T / 2; i++) {                                                      \
                w[2 * i] = _mm_unpacklo_epi8(v[i], v[i + T / 2]);                                  \
                w[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + T / 2]);                              \
            }                                                                                      \
            for (int i = 0; i < T; i++) v[i] = w[i];                                               \
        }                                                                                          \
    }                                                                                              \
    static int64_t planes##T(int64_t elements, int64_t e, int64_t last, const uint8_t *src,        \
                             uint8_t *dst) {                                                       \
        for (; e + 16 <= last; e += 16) {                                                          \
            __m128i v[T];                                                                          \
            for (int j = 0; j < T; j++)                                                            \
                v[j] = _mm_loadu_si128((const __m128i *)(src + j * elements + e));                 \
            zip##T(v);                                                                             \
            for (int j = 0; j < T; j++)                                                            \
                _mm_storeu_si128((__m128i *)(dst + e * T + 16 * j), v[j]);                         \
        }                                                                                          \
        return e;                                                                                  \
    }

ZIP(2)
ZIP(4)
ZIP(8)
ZIP(16)

static int64_t vector_unshuffle(int64_t t, int64_t elements, int64_t first, int64_t last,
                                const uint8_t *src, uint8_t *dst) {
    switch (t) {
    case 2: return planes2(elements, first, last, src, dst);
    case 4: return planes4(elements, first, last, src, dst);
    case 8: return planes8(elements, first, last, src, dst);
    case 16: return planes16(elements, first, last, src, dst);
    default: return first;
    }
}

/* Swap the bits that differ by `shift` positions and are marked by `mask`. */
static inline __m128i swap_bits(__m128i x, long long mask, int shift) {
    __m128i t = _mm_and_si128(_mm_xor_si128(x, _mm_srli_epi64(x, shift)), _mm_set1_epi64x(mask));
    return _mm_xor_si128(x, _mm_xor_si128(t, _mm_slli_epi64(t, shift)));
}

/* 16 bytes of each of 8 bit rows to 128 bytes of one plane. */
static int64_t vector_bits(int64_t row, const uint8_t *src, uint8_t *dst) {
    int64_t m = 0;
    for (; m + 16 <= row; m += 16) {
        __m128i v[8];
        for (int k = 0; k < 8; k++) v[k] = _mm_loadu_si128((const __m128i *)(src + k * row + m));
        zip8(v);
        for (int k = 0; k < 8; k++) {
            __m128i x = v[k];
            x = swap_bits(x, 0x00AA00AA00AA00AALL, 7);
            x = swap_bits(x, 0x0000CCCC0000CCCCLL, 14);
            x = swap_bits(x, 0x00000000F0F0F0F0LL, 28);
            _mm_storeu_si128((__m128i *)(dst + m * 8 + 16 * k), x);
        }
    }
    return m;
}
#else
static int64_t vector_unshuffle(int64_t t, int64_t elements, int64_t first, int64_t last,
                                const uint8_t *src, uint8_t *dst) {
    (void)t, (void)elements, (void)last, (void)src, (void)dst;
    return first;
}

static int64_t vector_bits(int64_t row, const uint8_t *src, uint8_t *dst) {
    (void)row, (void)src, (void)dst;
    return 0;
}
#endif

static uint64_t transpose_bits(uint64_t x) {
    uint64_t t;
    t = (x ^ x >> 7) & 0x00AA00AA00AA00AAULL;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000CCCC0000CCCCULL;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000F0F0F0F0ULL;
    return x ^ t ^ t << 28;
}

void unshuffle(int64_t typesize, int64_t elements, int64_t first, int64_t last, const uint8_t *src,
               uint8_t *dst) {
    for (int64_t e = vector_unshuffle(typesize, elements, first, last, src, dst); e < last; e++)
        for (int64_t j = 0; j < typesize; j++) dst[e * typesize + j] = src[j * elements + e];
}

void bitunshuffle(int64_t typesize, int64_t size, const uint8_t *src, uint8_t *dst,
                  uint8_t *scratch) {
    int64_t elements = size / typesize, row = elements / 8;
    uint8_t *planes = typesize == 1 ? dst : scratch;
    if (elements % 8) {
        memcpy(dst, src, (size_t)size);
        return;
    }
    for (int64_t j = 0; j < typesize; j++) {
        const uint8_t *rows = src + j * elements;
        uint8_t *plane = planes + j * elements;
        for (int64_t m = vector_bits(row, rows, plane); m < row; m++) {
            uint64_t x = 0;
            for (int k = 0; k < 8; k++) x |= (uint64_t)rows[k * row + m] << 8 * k;
            x = transpose_bits(x);
            for (int e = 0; e < 8; e++) plane[m * 8 + e] = (uint8_t)(x >> 8 * e);
        }
    }
    int64_t whole = elements * typesize;
    memcpy(dst + whole, src + whole, (size_t)(size - whole));
    if (typesize > 1) unshuffle(typesize, elements, 0, elements, planes, dst);
}
