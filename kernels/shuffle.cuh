// What the shuffles of Blosc and their inverses share: the walk over blocks and tiles, turns of bytes
// and bits, staging.
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

// Where the bytes of a block go: one behind the other.
struct Flat {
    u8* first;

    __device__ __forceinline__ u8* at(i64 k) const { return first + k; }
};

struct FlatPlaces {
    const u64* __restrict__ dst;

    __device__ __forceinline__ Flat operator()(i64 block) const { return {(u8*)dst[block]}; }
};

template <typename To>
__device__ __forceinline__ void copy_bytes(const To& to, const u8* __restrict__ src, i64 first,
                                           i64 last) {
    for (i64 k = first + threadIdx.x; k < last; k += blockDim.x) *to.at(k) = src[k];
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

// Elements [first, last) of n by the moves of T: whole groups of them by words, the rest by bytes.
template <typename T>
struct Elements {
    template <typename To>
    __device__ __forceinline__ void operator()(const To& dst, const u8* __restrict__ src, i64 n,
                                               i32 typesize, i64 first, i64 last) const {
        const i64 group = typesize == 2 ? 8 : 4;
        const bool fast = typesize == 2 || typesize == 4 || typesize == 8 || typesize == 16;
        const i64 whole = fast ? first + (last - first) / group * group : first;
        for (i64 e = first + threadIdx.x * group; e < whole; e += blockDim.x * group) {
            switch (typesize) {
                case 2: T::pairs(dst, src, n, e); break;
                case 4: T::template quads<1>(dst, src, n, e); break;
                case 8: T::template quads<2>(dst, src, n, e); break;
                default: T::template quads<4>(dst, src, n, e);
            }
        }
        T::bytes(dst, src, n, typesize, whole, last);
    }
};

// Every block, a tile of whole elements [first, last) at a time: `tile(to, from, elements, size,
// first, last)`; what is left over is copied, and so is a block whose elements are no multiple of MULTIPLE.
template <int MULTIPLE, typename Places, typename Tile>
__device__ __forceinline__ void each_tile(const u64* __restrict__ src, const Places& places,
                                          const i64* __restrict__ bsize,
                                          const i32* __restrict__ typesize,
                                          const i64* __restrict__ tile_first, i64 n,
                                          const Tile& tile) {
    const i64 tasks = n > 0 ? tile_first[n] : 0;
    for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
        const Task t = find_task(tile_first, n, task);
        const u8* from = (const u8*)src[t.item];
        const auto to = places(t.item);
        const i32 size = typesize[t.item];
        if (size < 1 || size > 255) continue;
        const i64 elements = bsize[t.item] / size, step = elements_per_tile(size);
        if (elements % MULTIPLE) {
            for (i64 at = t.tile * CUZARR_SHUFFLE_PIECE; at < bsize[t.item];
                 at += t.tiles * CUZARR_SHUFFLE_PIECE)
                copy_bytes(to, from, at, smaller(at + CUZARR_SHUFFLE_PIECE, bsize[t.item]));
            continue;
        }
        for (i64 first = t.tile * step; first < elements; first += t.tiles * step)
            tile(to, from, elements, size, first, smaller(first + step, elements));
        if (t.tile == 0) copy_bytes(to, from, elements * size, bsize[t.item]);
    }
}

#endif
