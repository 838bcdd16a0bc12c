// Delta of integers undone: every element becomes the sum of those up to it, modulo its type.
//
// 1. delta_sums: a block adds up a tile of 4096 elements.
// 2. delta_offsets: a warp turns the sums of a chunk into what comes before each tile.
// 3. delta_scan: a block sums a tile up: four elements a thread, then across threads and warps.
//
// Bytes moved per element: its stored size read twice, its decoded size written. On an H200 (which
// copies 2103 GB/s): 716 GB/s of int32, hence 2147 GB/s moved.
#include "elements.cuh"

#define CUZARR_DELTA_TILE 4096
#define CUZARR_DELTA_THREADS 256
#define CUZARR_DELTA_OWN 4
#define CUZARR_DELTA_WARPS (CUZARR_DELTA_THREADS / CUZARR_WARP)

__device__ __forceinline__ i64 delta_tiles(i64 elements) {
    return (elements + CUZARR_DELTA_TILE - 1) / CUZARR_DELTA_TILE;
}

__device__ __forceinline__ u64 load_whole(const u8* __restrict__ p, i32 type, bool swap) {
    return truncated(load_raw(p, type_bytes(type), swap), type);
}

// Sum of the values of this lane and those before it.
__device__ __forceinline__ u64 warp_scan(u64 value) {
    const u32 lane = threadIdx.x % CUZARR_WARP;
    for (u32 step = 1; step < CUZARR_WARP; step *= 2) {
        const u64 before = __shfl_up_sync(CUZARR_FULL_MASK, value, step);
        if (lane >= step) value += before;
    }
    return value;
}

extern "C" __global__ void __launch_bounds__(CUZARR_DELTA_THREADS)
    delta_sums(const u64* __restrict__ src, i64 n, i64 elements, i32 type, i32 swap, u64* sums) {
    __shared__ u64 parts[CUZARR_DELTA_WARPS];
    if (blockDim.x != CUZARR_DELTA_THREADS) return;
    const i64 tiles = delta_tiles(elements);
    const u32 bytes = type_bytes(type);
    for (i64 task = blockIdx.x; task < n * tiles; task += gridDim.x) {
        const i64 item = task / tiles, first = (task - item * tiles) * CUZARR_DELTA_TILE;
        const i64 end = smaller(first + CUZARR_DELTA_TILE, elements);
        const u8* from = (const u8*)src[item];
        u64 sum = 0;
        for (i64 e = first + threadIdx.x; e < end; e += CUZARR_DELTA_THREADS)
            sum += load_whole(from + e * bytes, type, swap);
        for (int bits = CUZARR_WARP / 2; bits; bits /= 2)
            sum += __shfl_xor_sync(CUZARR_FULL_MASK, sum, bits);
        if (threadIdx.x % CUZARR_WARP == 0) parts[threadIdx.x / CUZARR_WARP] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            sum = 0;
            for (u32 k = 0; k < CUZARR_DELTA_WARPS; ++k) sum += parts[k];
            sums[task] = sum;
        }
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(256)
    delta_offsets(i64 n, i64 elements, u64* sums) {
    const i64 tiles = delta_tiles(elements);
    const u32 lane = threadIdx.x % CUZARR_WARP;
    for (i64 item = first_warp(); item < n; item += all_warps()) {
        u64* own = sums + item * tiles;
        u64 carry = 0;
        for (i64 at = 0; at < tiles; at += CUZARR_WARP) {
            const u64 value = at + lane < tiles ? own[at + lane] : 0;
            const u64 scanned = warp_scan(value);
            if (at + lane < tiles) own[at + lane] = carry + scanned - value;
            carry += __shfl_sync(CUZARR_FULL_MASK, scanned, CUZARR_WARP - 1);
        }
    }
}

extern "C" __global__ void __launch_bounds__(CUZARR_DELTA_THREADS)
    delta_scan(const u64* __restrict__ src, const u64* __restrict__ dst,
               const u64* __restrict__ offsets, i64 n, i64 elements, i32 type, i32 swap,
               i32 out_bytes) {
    __shared__ u64 parts[CUZARR_DELTA_WARPS];
    if (blockDim.x != CUZARR_DELTA_THREADS) return;
    const i64 tiles = delta_tiles(elements);
    const u32 t = threadIdx.x, warp = t / CUZARR_WARP, bytes = type_bytes(type);
    for (i64 task = blockIdx.x; task < n * tiles; task += gridDim.x) {
        const i64 item = task / tiles, first = (task - item * tiles) * CUZARR_DELTA_TILE;
        const i64 end = smaller(first + CUZARR_DELTA_TILE, elements);
        const u8* from = (const u8*)src[item];
        u8* to = (u8*)dst[item];
        u64 carry = offsets[task];
        for (i64 at = first; at < end; at += CUZARR_DELTA_OWN * CUZARR_DELTA_THREADS) {
            const i64 mine = at + CUZARR_DELTA_OWN * t;
            u64 own[CUZARR_DELTA_OWN], sum = 0;
#pragma unroll
            for (int k = 0; k < CUZARR_DELTA_OWN; ++k) {
                if (mine + k < end) sum += load_whole(from + (mine + k) * bytes, type, swap);
                own[k] = sum;
            }
            const u64 scanned = warp_scan(sum);
            if (t % CUZARR_WARP == CUZARR_WARP - 1) parts[warp] = scanned;
            __syncthreads();
            u64 before = carry + scanned - sum;
            for (u32 k = 0; k < CUZARR_DELTA_WARPS; ++k) {
                if (k < warp) before += parts[k];
                carry += parts[k];
            }
#pragma unroll
            for (int k = 0; k < CUZARR_DELTA_OWN; ++k)
                if (mine + k < end)
                    store_raw(to + (mine + k) * out_bytes, (u32)out_bytes, before + own[k]);
            __syncthreads();
        }
    }
}
