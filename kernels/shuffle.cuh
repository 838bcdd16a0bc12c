// What the shuffles of Blosc and their inverses share: tiles, turns of bytes and bits, staging.
#ifndef CUZARR_SHUFFLE_CUH
#define CUZARR_SHUFFLE_CUH
#include "common.cuh"

#define CUZARR_SHUFFLE_PIECE 16384
// Four bytes after every 128, so that threads a power of two apart use different banks.
#define CUZARR_STAGE_WORDS (CUZARR_SHUFFLE_PIECE / 4 + CUZARR_SHUFFLE_PIECE / 128)

__device__ __forceinline__ u32 stage_place(u32 byte) { return byte + byte / 128 * 4; }

__device__ __forceinline__ i64 elements_per_tile(i32 typesize) {
    return CUZARR_SHUFFLE_PIECE / typesize / 32 * 32;
}

__device__ __forceinline__ void copy_bytes(u8* __restrict__ dst, const u8* __restrict__ src,
                                           i64 first, i64 last) {
    for (i64 k = first + threadIdx.x; k < last; k += blockDim.x) dst[k] = src[k];
}

// Four planes of four bytes each to four elements of four bytes.
__device__ __forceinline__ void turn_bytes(u32 a, u32 b, u32 c, u32 d, u32* element) {
    const u32 ab01 = __byte_perm(a, b, 0x5140), ab23 = __byte_perm(a, b, 0x7362);
    const u32 cd01 = __byte_perm(c, d, 0x5140), cd23 = __byte_perm(c, d, 0x7362);
    element[0] = __byte_perm(ab01, cd01, 0x5410);
    element[1] = __byte_perm(ab01, cd01, 0x7632);
    element[2] = __byte_perm(ab23, cd23, 0x5410);
    element[3] = __byte_perm(ab23, cd23, 0x7632);
}

// Byte k of x holds bit k of eight elements; byte i of the result holds element i.
__device__ __forceinline__ u64 turn_bits(u64 x) {
    u64 t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aaull;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000cccc0000ccccull;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0ull;
    return x ^ t ^ (t << 28);
}

#endif
