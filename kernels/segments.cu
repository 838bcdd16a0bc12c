// copy_segments and fill_segments: many pieces of memory of any size and alignment in one launch.
//
// A warp takes one tile of one segment. Stores are 16 bytes wide and aligned from the first multiple
// of 16 in the destination on; loads are as wide as the difference of alignments allows.
//
// Bytes moved per byte: 1 read and 1 written (copy), 1 written (fill). Share of copy bandwidth: not
// measured yet.
#include "common.cuh"

#define CUZARR_SEGMENT_PIECE 16384  // bytes that a warp takes at a time

// Sixteen bytes at `p`; `shift` is p % 4, not 0. Reads the five aligned words that hold them, so up
// to three bytes before and behind, which the caller knows to be inside the segment.
__device__ __forceinline__ uint4 load_shifted(const u8* __restrict__ p, u32 shift) {
    const u32* words = (const u32*)(p - shift);
    const u32 a = words[0], b = words[1], c = words[2], d = words[3], e = words[4];
    const u32 bits = 8 * shift;
    return make_uint4(__funnelshift_r(a, b, bits), __funnelshift_r(b, c, bits),
                      __funnelshift_r(c, d, bits), __funnelshift_r(d, e, bits));
}

__device__ void copy_piece(u8* __restrict__ dst, const u8* __restrict__ src, i64 nbytes) {
    const u32 lane = threadIdx.x % CUZARR_WARP;
    const i64 head = smaller((i64)((16 - ((u64)dst & 15)) & 15), nbytes);
    const u32 shift = (u32)(((u64)src + (u64)head) & 15);
    // A shifted load reads the whole words around its sixteen bytes: keep them inside the piece.
    const i64 apart = shift & 3;
    const i64 lead = apart > head ? head + 16 : head;
    const i64 body = nbytes - lead - (apart ? 4 - apart : 0);
    const i64 vectors = body > 0 ? body / 16 : 0;
    const i64 front = vectors ? lead : nbytes, end = vectors ? lead + 16 * vectors : nbytes;
    for (i64 k = lane; k < front; k += CUZARR_WARP) dst[k] = src[k];
    if (shift == 0) {
        for (i64 v = lane; v < vectors; v += CUZARR_WARP)
            *(uint4*)(dst + lead + 16 * v) = *(const uint4*)(src + lead + 16 * v);
    } else if (!apart) {
        for (i64 v = lane; v < vectors; v += CUZARR_WARP) {
            const u32* words = (const u32*)(src + lead + 16 * v);
            *(uint4*)(dst + lead + 16 * v) = make_uint4(words[0], words[1], words[2], words[3]);
        }
    } else {
        for (i64 v = lane; v < vectors; v += CUZARR_WARP)
            *(uint4*)(dst + lead + 16 * v) = load_shifted(src + lead + 16 * v, (u32)apart);
    }
    for (i64 k = end + lane; k < nbytes; k += CUZARR_WARP) dst[k] = src[k];
}

// The pattern as it looks from `phase` bytes into it.
__device__ __forceinline__ u8 pattern_byte(u64 low, u64 high, u32 k) {
    k &= 15;
    return (u8)((k < 8 ? low : high) >> (8 * (k & 7)));
}

__device__ void fill_piece(u8* __restrict__ dst, i64 nbytes, u32 phase, u64 low, u64 high) {
    const u32 lane = threadIdx.x % CUZARR_WARP;
    const i64 head = smaller((i64)((16 - ((u64)dst & 15)) & 15), nbytes);
    const i64 vectors = (nbytes - head) / 16, end = head + vectors * 16;
    for (i64 k = lane; k < head; k += CUZARR_WARP)
        dst[k] = pattern_byte(low, high, phase + (u32)k);
    u32 words[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        words[i] = 0;
#pragma unroll
        for (u32 j = 0; j < 4; ++j)
            words[i] |= (u32)pattern_byte(low, high, phase + (u32)head + 4 * i + j) << (8 * j);
    }
    const uint4 value = make_uint4(words[0], words[1], words[2], words[3]);
    for (i64 v = lane; v < vectors; v += CUZARR_WARP) *(uint4*)(dst + head + 16 * v) = value;
    for (i64 k = end + lane; k < nbytes; k += CUZARR_WARP)
        dst[k] = pattern_byte(low, high, phase + (u32)(k & 15));
}

extern "C" __global__ void __launch_bounds__(256)
    copy_segments(const u64* __restrict__ src, const u64* __restrict__ dst,
                  const i64* __restrict__ nbytes, const i64* __restrict__ tile_first, i64 n) {
    const i64 tasks = n > 0 ? tile_first[n] : 0;
    for (i64 task = first_warp(); task < tasks; task += all_warps()) {
        const Task t = find_task(tile_first, n, task);
        const i64 size = nbytes[t.item];
        for (i64 at = t.tile * CUZARR_SEGMENT_PIECE; at < size;
             at += t.tiles * CUZARR_SEGMENT_PIECE)
            copy_piece((u8*)dst[t.item] + at, (const u8*)src[t.item] + at,
                       smaller(CUZARR_SEGMENT_PIECE, size - at));
    }
}

extern "C" __global__ void __launch_bounds__(256)
    fill_segments(const u64* __restrict__ dst, const i64* __restrict__ nbytes,
                  const i64* __restrict__ tile_first, i64 n, u64 fill_low, u64 fill_high) {
    const i64 tasks = n > 0 ? tile_first[n] : 0;
    for (i64 task = first_warp(); task < tasks; task += all_warps()) {
        const Task t = find_task(tile_first, n, task);
        const i64 size = nbytes[t.item];
        for (i64 at = t.tile * CUZARR_SEGMENT_PIECE; at < size;
             at += t.tiles * CUZARR_SEGMENT_PIECE)
            fill_piece((u8*)dst[t.item] + at, smaller(CUZARR_SEGMENT_PIECE, size - at),
                       (u32)(at & 15), fill_low, fill_high);
    }
}
