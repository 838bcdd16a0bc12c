// blosc_unshuffle and blosc_bitunshuffle: undo the shuffles of Blosc 1, block by block (README.md of
// c-blosc, shuffle.c; bitshuffle of K. Masui et al., 2015).
//
// Byte shuffle: plane j of a block holds byte j of every element. Bit shuffle: row 8 j + k holds bit
// k of byte j of every element, eight elements to a byte, the lowest bit first. Both cover
// bsize / typesize whole elements; what is left over is copied. A block whose element count is not a
// multiple of eight was not bit-shuffled at all.
//
// 1. A block of threads takes one tile of one Blosc block: about 16 KiB of whole elements.
// 2. Bytes: a thread loads four bytes of each plane (neighbouring threads, neighbouring words), turns
//    them with byte permutes, and stores 16 bytes at a time.
// 3. Bits: a thread loads eight rows of a byte column, turns 8 x 8 bits, and puts the bytes in shared
//    memory, from which the tile is written in whole sectors.
//
// blosc_unshuffle_rows and blosc_bitunshuffle_rows put the elements where they belong in the output,
// whose rows are apart: no copy follows.
//
// Bytes moved per byte: 1 read and 1 written. On an H200, of the 4.2 TB/s of
// a copy: bytes 54 to 61 %, bits 48 %; in rows not measured yet.
#include "shuffle.cuh"

// Bytes of a chunk in pieces of `run`, of which `per` lie `stride` apart, and groups of them `plane`.
// 16 bytes of a block, from a multiple of 16, are in one piece: `run` and `offset` are multiples too.
struct Rows {
    u8* first;   // of the chunk
    u32 offset;  // of the block in the chunk; a chunk has less than 2^31 bytes
    u32 run, per;
    i64 stride, plane;

    __device__ __forceinline__ u8* at(i64 k) const {
        const u32 byte = offset + (u32)k, row = byte / run, group = row / per;
        return first + (group * plane + (row - group * per) * stride + (byte - row * run));
    }
};

struct RowPlaces {
    const u64* __restrict__ dst;
    const i64* __restrict__ offset;
    u32 run, per;
    i64 stride, plane;

    __device__ __forceinline__ Rows operator()(i64 block) const {
        return {(u8*)dst[block], (u32)offset[block], run, per, stride, plane};
    }
};

struct Unshuffle {
    // Eight elements of two bytes: two words of each plane.
    template <typename To>
    __device__ static __forceinline__ void pairs(const To& dst, const u8* __restrict__ src, i64 n,
                                                 i64 e) {
        u32 out[4];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u32 a = load_u32(src + e + 4 * h), b = load_u32(src + n + e + 4 * h);
            out[2 * h] = __byte_perm(a, b, 0x5140);
            out[2 * h + 1] = __byte_perm(a, b, 0x7362);
        }
        store_u128(dst.at(2 * e), make_uint4(out[0], out[1], out[2], out[3]));
    }

    // Four elements of 4 Q bytes.
    template <int Q, typename To>
    __device__ static __forceinline__ void quads(const To& dst, const u8* __restrict__ src, i64 n,
                                                 i64 e) {
        u32 out[4 * Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            const u8* plane = src + 4 * q * n + e;
            u32 element[4];
            turn_bytes(load_u32(plane), load_u32(plane + n), load_u32(plane + 2 * n),
                       load_u32(plane + 3 * n), element);
#pragma unroll
            for (int i = 0; i < 4; ++i) out[i * Q + q] = element[i];
        }
#pragma unroll
        for (int v = 0; v < Q; ++v)
            store_u128(dst.at(4 * Q * e + 16 * v),
                       make_uint4(out[4 * v], out[4 * v + 1], out[4 * v + 2], out[4 * v + 3]));
    }

    // Elements [first, last) of n, byte by byte.
    template <typename To>
    __device__ static void bytes(const To& dst, const u8* __restrict__ src, i64 n, i32 typesize,
                                 i64 first, i64 last) {
        const i64 end = last * typesize;
        for (i64 k = first * typesize + threadIdx.x; k < end; k += blockDim.x) {
            const i64 e = k < 0x100000000ll ? (i64)((u32)k / (u32)typesize) : k / typesize;
            *dst.at(k) = src[(k - e * typesize) * n + e];
        }
    }
};

extern "C" __global__ void __launch_bounds__(256)
    blosc_unshuffle(const u64* __restrict__ src, const u64* __restrict__ dst,
                    const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                    const i64* __restrict__ tile_first, i64 n) {
    each_tile<1>(src, FlatPlaces{dst}, bsize, typesize, tile_first, n, Elements<Unshuffle>{});
}

extern "C" __global__ void __launch_bounds__(256)
    blosc_unshuffle_rows(const u64* __restrict__ src, const u64* __restrict__ dst,
                         const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                         const i64* __restrict__ tile_first, i64 n, const i64* __restrict__ offset,
                         i64 run, i64 per, i64 stride, i64 plane) {
    const RowPlaces places = {dst, offset, (u32)run, (u32)per, stride, plane};
    each_tile<1>(src, places, bsize, typesize, tile_first, n, Elements<Unshuffle>{});
}

// ---- bits -------------------------------------------------------------------------------------

// Elements [first, first + count) to shared memory; a thread takes W byte columns of eight rows.
template <int W>
__device__ __forceinline__ void stage_bits(u8* stage, const u8* __restrict__ src, i64 n,
                                           i32 typesize, i64 first, u32 count) {
    const i64 row_bytes = n / 8;
    const u32 groups = count / (8 * W);
    for (u32 item = threadIdx.x; item < groups * (u32)typesize; item += blockDim.x) {
        const u32 j = item / groups, g = item - j * groups;
        const u8* column = src + 8 * (i64)j * row_bytes + first / 8 + (i64)g * W;
        u32 row[8];
#pragma unroll
        for (int k = 0; k < 8; ++k)
            row[k] = W == 4 ? *(const u32*)(column + k * row_bytes) : (u32)column[k * row_bytes];
#pragma unroll
        for (int b = 0; b < W; ++b) {
            u64 bits = 0;
#pragma unroll
            for (int k = 0; k < 8; ++k) bits |= (u64)(row[k] >> (8 * b) & 255u) << (8 * k);
            bits = turn_bits(bits);
            const u32 element = (g * W + b) * 8;
#pragma unroll
            for (u32 i = 0; i < 8; ++i)
                stage[stage_place((element + i) * (u32)typesize + j)] = (u8)(bits >> (8 * i));
        }
    }
}

// A tile of whole elements: its rows are staged, and written as elements in whole sectors.
struct BitUnshuffle {
    u32* stage;

    __device__ __forceinline__ void write(const Flat& to, i64 begin, u32 nbytes) const {
        u8* out = to.at(begin);
        if (aligned((u64)out, 4)) {
            for (u32 w = threadIdx.x; w < nbytes / 4; w += blockDim.x)
                ((u32*)out)[w] = stage[stage_place(4 * w) / 4];
        } else {
            for (u32 k = threadIdx.x; k < nbytes; k += blockDim.x)
                out[k] = ((const u8*)stage)[stage_place(k)];
        }
    }

    __device__ __forceinline__ void write(const Rows& to, i64 begin, u32 nbytes) const {
        for (u32 k = 16 * threadIdx.x; k + 16 <= nbytes; k += 16 * blockDim.x) {
            const u32* four = stage + stage_place(k) / 4;
            store_u128(to.at(begin + k), make_uint4(four[0], four[1], four[2], four[3]));
        }
        for (u32 k = nbytes / 16 * 16 + threadIdx.x; k < nbytes; k += blockDim.x)
            *to.at(begin + k) = ((const u8*)stage)[stage_place(k)];
    }

    template <typename To>
    __device__ __forceinline__ void operator()(const To& to, const u8* from, i64 elements, i32 size,
                                               i64 first, i64 last) const {
        const u32 count = (u32)(last - first), nbytes = count * (u32)size;
        if (elements % 32 == 0 && aligned((u64)from, 4))
            stage_bits<4>((u8*)stage, from, elements, size, first, count);
        else
            stage_bits<1>((u8*)stage, from, elements, size, first, count);
        __syncthreads();
        write(to, first * size, nbytes);
        __syncthreads();
    }
};

extern "C" __global__ void __launch_bounds__(256)
    blosc_bitunshuffle(const u64* __restrict__ src, const u64* __restrict__ dst,
                       const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                       const i64* __restrict__ tile_first, i64 n) {
    __shared__ u32 stage[CUZARR_STAGE_WORDS];
    each_tile<8>(src, FlatPlaces{dst}, bsize, typesize, tile_first, n, BitUnshuffle{stage});
}

extern "C" __global__ void __launch_bounds__(256)
    blosc_bitunshuffle_rows(const u64* __restrict__ src, const u64* __restrict__ dst,
                            const i64* __restrict__ bsize, const i32* __restrict__ typesize,
                            const i64* __restrict__ tile_first, i64 n,
                            const i64* __restrict__ offset, i64 run, i64 per, i64 stride,
                            i64 plane) {
    __shared__ u32 stage[CUZARR_STAGE_WORDS];
    const RowPlaces places = {dst, offset, (u32)run, (u32)per, stride, plane};
    each_tile<8>(src, places, bsize, typesize, tile_first, n, BitUnshuffle{stage});
}
