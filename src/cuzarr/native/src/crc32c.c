/* CRC-32C (Castagnoli polynomial, reflected 0x82F63B78; RFC 3720 appendix B.4).
 *
 * 1. The SSE4.2 instruction where the processor has it. It takes 3 cycles and a new one can start
 *    each cycle, so three interleaved streams are joined by multiplying with x^n in tables.
 * 2. Slicing by 8 elsewhere.
 */
#include "native.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#define HARDWARE 1
#endif

#define LANE 1024 /* bytes per interleaved stream */

static uint32_t table[8][256];
static uint32_t lane_shift[4][256]; /* effect of LANE zero bytes on each byte of the register */
static int ready, hardware;

static uint32_t software(uint32_t crc, const uint8_t *p, size_t size) {
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t x = load_le64(p) ^ crc;
        crc = table[7][x & 255] ^ table[6][x >> 8 & 255] ^ table[5][x >> 16 & 255] ^
              table[4][x >> 24 & 255] ^ table[3][x >> 32 & 255] ^ table[2][x >> 40 & 255] ^
              table[1][x >> 48 & 255] ^ table[0][x >> 56];
    }
    while (size--) crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return crc;
}

#ifdef HARDWARE
static uint32_t shift_lane(uint32_t crc) {
    return lane_shift[0][crc & 255] ^ lane_shift[1][crc >> 8 & 255] ^
           lane_shift[2][crc >> 16 & 255] ^ lane_shift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t instruction(uint32_t crc, const uint8_t *p,
                                                               size_t size) {
    uint64_t a = crc, word;
    for (; size >= 3 * LANE; p += 3 * LANE, size -= 3 * LANE) {
        uint64_t b = 0, c = 0, second, third;
        for (size_t i = 0; i < LANE; i += 8) {
            memcpy(&word, p + i, 8);
            memcpy(&second, p + LANE + i, 8);
            memcpy(&third, p + 2 * LANE + i, 8);
            a = _mm_crc32_u64(a, word);
            b = _mm_crc32_u64(b, second);
            c = _mm_crc32_u64(c, third);
        }
        a = shift_lane(shift_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    for (; size >= 8; p += 8, size -= 8) {
        memcpy(&word, p, 8);
        a = _mm_crc32_u64(a, word);
    }
    while (size--) a = _mm_crc32_u8((uint32_t)a, *p++);
    return (uint32_t)a;
}
#endif

void crc32c_init(void) {
    static const uint8_t zeros[LANE];
    if (ready) return;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        table[0][i] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t i = 0; i < 256; i++)
            table[k][i] = table[0][table[k - 1][i] & 255] ^ table[k - 1][i] >> 8;
    for (int k = 0; k < 4; k++)
        for (uint32_t i = 0; i < 256; i++) lane_shift[k][i] = software(i << 8 * k, zeros, LANE);
#ifdef HARDWARE
    hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
    ready = 1;
}

uint32_t crc32c(const uint8_t *data, size_t size) {
#ifdef HARDWARE
    if (hardware) return ~instruction(~0u, data, size);
#endif
    return ~software(~0u, data, size);
}
