// blosc_shuffle and blosc_bitshuffle: the shuffles of Blosc 1, block by block; blosc.cu has the
// inverses and says what is where.
//
// 1. A block of threads takes one tile of one Blosc block: about 16 KiB of whole elements.
// 2. Bytes: a thread loads a few elements of neighbouring words, turns them with byte permutes, and
//    stores four bytes of each plane.
// 3. Bits: the tile goes to shared memory in whole sectors; a thread takes one byte column of 32
//    elements, turns 8 x 8 bits four times, and stores four bytes of eight rows.
//
// Bytes moved per byte: 1 read and 1 written. Share of copy bandwidth: not measured yet.
#include "shuffle.cuh"

__device__ __forceinline__ void store_u32(u8* __restrict__ p, u32 word) {
    if (aligned((u64)p, 4)) {
        *(u32*)p = word;
        return;
    }
#pragma unroll
    for (u32 k = 0; k < 4; ++k) p[k] = (u8)(word >> (8 * k));
}

struct Shuffle {
    // Eight elements of two bytes.
    __device__ static __forceinline__ void pairs(const Flat& to, const u8* __restrict__ src, i64 n,
                                                 i64 e) {
        u8* __restrict__ dst = to.first;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u8* from = src + 2 * e + 8 * h;
            const u32 a = load_u32(from), b = load_u32(from + 4);
            store_u32(dst + e + 4 * h, __byte_perm(a, b, 0x6420));
            store_u32(dst + n + e + 4 * h, __byte_perm(a, b, 0x7531));
        }
    }

    // Four elements of 4 Q bytes.
    template <int Q>
    __device__ static __forceinline__ void quads(const Flat& to, const u8* __restrict__ src, i64 n,
                                                 i64 e) {
        u8* __restrict__ dst = to.first;
        u32 in[4 * Q];
#pragma unroll
        for (int v = 0; v < Q; ++v) {
            const u8* from = src + 4 * Q * e + 16 * v;
            if (aligned((u64)from, 16)) {
                const uint4 four = *(const uint4*)from;
                in[4 * v] = four.x, in[4 * v + 1] = four.y;
                in[4 * v + 2] = four.z, in[4 * v + 3] = four.w;
            } else {
#pragma unroll
                for (int i = 0; i < 4; ++i) in[4 * v + i] = load_u32(from + 4 * i);
            }
        }
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            u32 plane[4];
            turn_bytes(in[q], in[Q + q], in[2 * Q + q], in[3 * Q + q], plane);
#pragma unroll
            for (int j = 0; j < 4; ++j) store_u32(dst + (4 * q + j) * n + e, plane[j]);
        }
    }

    // Elements [first, last) of n, byte by byte: neighbouring threads write neighbouring bytes.
    __device__ static void bytes(const Flat& to, const u8* __restrict__ src, i64 n, i32 typesize,
                                 i64 first, i64 last) {
        u8* __restrict__ dst = to.first;
        for (i32 j = 0; j < typesize; ++j)
            for (i64 e = first + threadIdx.x; e < last; e += blockDim.x)
                dst[j * n + e] = src[e * typesize + j];
    }
};

extern "C" __global__ void __launch_bounds__(256)
    blosc_shuffle(const u64* __restrict__ src, const u64* __restrict__ dst,
                  const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                  const i64* __restrict__ tile_first, i64 n) {
    each_tile<1>(src, FlatPlaces{dst}, bsize, typesize, tile_first, n, Elements<Shuffle>{});
}

// ---- bits -------------------------------------------------------------------------------------

// Rows of `count` staged elements, of which `first` is the number in the block of n; a thread takes
// one byte of 8 W elements.
template <int W>
__device__ __forceinline__ void spread_bits(u8* __restrict__ dst, const u8* stage, i64 n,
                                            i32 typesize, i64 first, u32 count) {
    const i64 row_bytes = n / 8;
    const u32 groups = count / (8 * W);
    for (u32 item = threadIdx.x; item < groups * (u32)typesize; item += blockDim.x) {
        const u32 j = item / groups, g = item - j * groups;
        u32 row[8];
#pragma unroll
        for (int k = 0; k < 8; ++k) row[k] = 0;
#pragma unroll
        for (int b = 0; b < W; ++b) {
            const u32 element = (g * W + b) * 8;
            u64 bits = 0;
#pragma unroll
            for (u32 i = 0; i < 8; ++i)
                bits |= (u64)stage[stage_place((element + i) * (u32)typesize + j)] << (8 * i);
            bits = turn_bits(bits);
#pragma unroll
            for (int k = 0; k < 8; ++k) row[k] |= (u32)(bits >> (8 * k) & 255u) << (8 * b);
        }
        u8* column = dst + 8 * (i64)j * row_bytes + first / 8 + (i64)g * W;
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            if (W == 4) *(u32*)(column + k * row_bytes) = row[k];
            else column[k * row_bytes] = (u8)row[k];
        }
    }
}

// A tile of whole elements: it is staged in whole sectors, and written as rows.
struct BitShuffle {
    u32* stage;

    __device__ __forceinline__ void operator()(const Flat& place, const u8* from, i64 elements,
                                               i32 size, i64 first, i64 last) const {
        u8* to = place.first;
        const u32 count = (u32)(last - first), nbytes = count * (u32)size;
        const u8* in = from + first * size;
        if (aligned((u64)in, 4)) {
            for (u32 w = threadIdx.x; w < nbytes / 4; w += blockDim.x)
                stage[stage_place(4 * w) / 4] = ((const u32*)in)[w];
        } else {
            for (u32 k = threadIdx.x; k < nbytes; k += blockDim.x)
                ((u8*)stage)[stage_place(k)] = in[k];
        }
        __syncthreads();
        if (elements % 32 == 0 && aligned((u64)to, 4))
            spread_bits<4>(to, (const u8*)stage, elements, size, first, count);
        else
            spread_bits<1>(to, (const u8*)stage, elements, size, first, count);
        __syncthreads();
    }
};

extern "C" __global__ void __launch_bounds__(256)
    blosc_bitshuffle(const u64* __restrict__ src, const u64* __restrict__ dst,
                     const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                     const i64* __restrict__ tile_first, i64 n) {
    __shared__ u32 stage[CUZARR_STAGE_WORDS];
    each_tile<8>(src, FlatPlaces{dst}, bsize, typesize, tile_first, n, BitShuffle{stage});
}
