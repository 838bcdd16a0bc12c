// What the writing of chunks needs beside shuffles, copies and CRC-32C.
//
// differs_from_fill: which segments hold anything but one pattern of sixteen bytes. A warp takes one
// tile of one segment and stops at the first difference, so that of most chunks it reads a few
// sectors of each tile. Bytes moved per byte: at most 1 read.
//
// adler32_partial, adler32_store: Adler-32 (RFC 1950, section 8.2) of many segments. Of n bytes d_i,
// the low half is 1 + sum d_i and the high half n + sum (n - i) d_i, modulo 65521: sums in any
// order, so blocks take pieces of 16 KiB and add them atomically. Bytes moved per byte: 1 read.
//
// Share of copy bandwidth: not measured yet.
#include "common.cuh"

#define CUZARR_ENCODE_PIECE 16384
#define CUZARR_ADLER_THREADS 256
#define CUZARR_ADLER_MODULUS 65521u

__device__ __forceinline__ u8 fill_byte(u64 low, u64 high, i64 k) {
    const u32 at = (u32)k & 15;
    return (u8)((at < 8 ? low : high) >> (8 * (at & 7)));
}

// Segments begin at multiples of 16.
extern "C" __global__ void __launch_bounds__(256)
    differs_from_fill(const u64* __restrict__ src, const i64* __restrict__ nbytes,
                      const i64* __restrict__ tile_first, i64 n, u64 fill_low, u64 fill_high,
                      u32* differs) {
    const u32 lane = threadIdx.x % CUZARR_WARP;
    const uint4 wanted = make_uint4((u32)fill_low, (u32)(fill_low >> 32), (u32)fill_high,
                                    (u32)(fill_high >> 32));
    const i64 tasks = n > 0 ? tile_first[n] : 0;
    for (i64 task = first_warp(); task < tasks; task += all_warps()) {
        const Task t = find_task(tile_first, n, task);
        const u8* segment = (const u8*)src[t.item];
        const i64 size = nbytes[t.item];
        int different = 0;
        for (i64 at = t.tile * CUZARR_ENCODE_PIECE; at < size && !different;
             at += t.tiles * CUZARR_ENCODE_PIECE) {
            const i64 end = smaller(at + CUZARR_ENCODE_PIECE, size);
            for (i64 row = at; row < end && !different; row += 16 * CUZARR_WARP) {
                const i64 own = row + 16 * lane;
                int mine = 0;
                if (own + 16 <= end) {
                    const uint4 v = *(const uint4*)(segment + own);
                    mine = ((v.x ^ wanted.x) | (v.y ^ wanted.y) | (v.z ^ wanted.z) |
                            (v.w ^ wanted.w)) != 0;
                } else {
                    for (i64 k = own; k < end; ++k)
                        mine |= segment[k] != fill_byte(fill_low, fill_high, k);
                }
                different = __any_sync(CUZARR_FULL_MASK, mine);
            }
        }
        if (different && lane == 0) atomicOr(differs + t.item, 1u);
    }
}

extern "C" __global__ void __launch_bounds__(CUZARR_ADLER_THREADS)
    adler32_partial(const u64* __restrict__ src, const i64* __restrict__ nbytes,
                    const i64* __restrict__ tile_first, i64 n, u64* sums) {
    __shared__ u64 parts[2][CUZARR_ADLER_THREADS / CUZARR_WARP];
    const u32 t = threadIdx.x;
    if (blockDim.x != CUZARR_ADLER_THREADS) return;
    const i64 tasks = n > 0 ? tile_first[n] : 0;
    for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
        const Task own = find_task(tile_first, n, task);
        const u8* segment = (const u8*)src[own.item];
        const i64 size = nbytes[own.item];
        for (i64 at = own.tile * CUZARR_ENCODE_PIECE; at < size;
             at += own.tiles * CUZARR_ENCODE_PIECE) {
            const i64 end = smaller(at + CUZARR_ENCODE_PIECE, size);
            u64 low = 0, high = 0;  // high stays below 64 * 255 * 2^40 for segments of a terabyte
            for (i64 k = at + t; k < end; k += CUZARR_ADLER_THREADS) {
                low += segment[k];
                high += (u64)segment[k] * (u64)(size - k);
            }
            for (int bits = CUZARR_WARP / 2; bits; bits /= 2) {
                low += __shfl_xor_sync(CUZARR_FULL_MASK, low, bits);
                high += __shfl_xor_sync(CUZARR_FULL_MASK, high, bits);
            }
            if (t % CUZARR_WARP == 0) {
                parts[0][t / CUZARR_WARP] = low;
                parts[1][t / CUZARR_WARP] = high % CUZARR_ADLER_MODULUS;
            }
            __syncthreads();
            if (t < 2) {
                u64 sum = 0;
                for (u32 k = 0; k < CUZARR_ADLER_THREADS / CUZARR_WARP; ++k) sum += parts[t][k];
                atomicAdd(sums + 2 * own.item + t, sum % CUZARR_ADLER_MODULUS);
            }
            __syncthreads();
        }
    }
}

extern "C" __global__ void __launch_bounds__(256)
    adler32_store(const i64* __restrict__ nbytes, const u64* __restrict__ sums,
                  const u64* __restrict__ dst, i64 n) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (i64)gridDim.x * blockDim.x) {
        const u32 low = (u32)((1 + sums[2 * i]) % CUZARR_ADLER_MODULUS);
        const u32 high = (u32)(((u64)nbytes[i] + sums[2 * i + 1]) % CUZARR_ADLER_MODULUS);
        u8* p = (u8*)dst[i];
        p[0] = (u8)(high >> 8);
        p[1] = (u8)high;
        p[2] = (u8)(low >> 8);
        p[3] = (u8)low;
    }
}
