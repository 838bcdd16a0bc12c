// What every kernel shares: fixed-width names (NVRTC has no <cstdint>), the tile table that spreads
// pieces of unequal size over the grid, loads and stores of any alignment, and the first-bad index.
#ifndef CUZARR_COMMON_CUH
#define CUZARR_COMMON_CUH

typedef signed int i32;
typedef signed long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define CUZARR_WARP 32
#define CUZARR_FULL_MASK 0xffffffffu

// A task is one tile of one item (row, segment, block). `tile_first` is the exclusive prefix sum of
// the tiles per item, so that one launch serves many tiny items and a few huge ones alike.
struct Task {
    i64 item;
    i64 tile;   // this tile of the item
    i64 tiles;  // how many the item has: a kernel works on pieces tile, tile + tiles, ...
};

__device__ __forceinline__ Task find_task(const i64* __restrict__ tile_first, i64 n, i64 task) {
    i64 low = 0, high = n;  // tile_first[low] <= task < tile_first[high]
    if (tile_first[n] == n && tile_first[task] == task && tile_first[task + 1] == task + 1) {
        low = task;  // one tile each: the common case of small items
    } else {
        while (high - low > 1) {
            const i64 middle = low + (high - low) / 2;
            if (tile_first[middle] <= task) low = middle;
            else high = middle;
        }
    }
    const i64 first = tile_first[low];
    Task found;
    found.item = low;
    found.tile = task - first;
    found.tiles = tile_first[low + 1] - first;
    return found;
}

// Warps of the grid: the first task of this thread's warp, and the step to its next one.
__device__ __forceinline__ i64 first_warp() {
    return (i64)blockIdx.x * (blockDim.x / CUZARR_WARP) + threadIdx.x / CUZARR_WARP;
}
__device__ __forceinline__ i64 all_warps() { return (i64)gridDim.x * (blockDim.x / CUZARR_WARP); }

__device__ __forceinline__ i64 smaller(i64 a, i64 b) { return a < b ? a : b; }

__device__ __forceinline__ bool aligned(u64 address, u32 to) { return (address & (to - 1)) == 0; }

// The four bytes at `p`, little endian, whatever its alignment.
__device__ __forceinline__ u32 load_u32(const u8* __restrict__ p) {
    if (aligned((u64)p, 4)) return *(const u32*)p;
    return (u32)p[0] | ((u32)p[1] << 8) | ((u32)p[2] << 16) | ((u32)p[3] << 24);
}

// Sixteen bytes to `p`, whatever its alignment.
__device__ __forceinline__ void store_u128(u8* __restrict__ p, uint4 v) {
    if (aligned((u64)p, 16)) {
        *(uint4*)p = v;
        return;
    }
    const u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (aligned((u64)p, 4)) {
            *(u32*)(p + 4 * i) = words[i];
        } else {
            p[4 * i] = (u8)words[i];
            p[4 * i + 1] = (u8)(words[i] >> 8);
            p[4 * i + 2] = (u8)(words[i] >> 16);
            p[4 * i + 3] = (u8)(words[i] >> 24);
        }
    }
}

// The lowest bad index wins, so that the host reads eight bytes per call.
__device__ __forceinline__ void report(u64* first_bad, u64 index) {
    if (first_bad) atomicMin(first_bad, index);
}

#endif
