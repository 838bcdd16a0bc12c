// scatter_N and gather_N: copy between decoded chunks and an array, one launch per wave.
//
// 1. A warp takes one tile of one row. It folds the row's axes into few: axes of length one become
//    an offset, neighbours that are contiguous on both sides are merged.
// 2. Where the last axis is contiguous on both sides, the row is copied in units of up to 16 bytes,
//    the largest that every address and length of the row allows.
// 3. Units are numbered in the order of the axes, the last one fastest: with the array's smallest
//    stride last, a scatter writes, and a gather reads, whole sectors.
//
// Bytes moved per element: N read and N written; lists add 8 per element and list axis (cached for
// all but one axis). On an H200, of a copy's 4.2 TB/s: runs of 512 bytes 57 %, of 2 KiB 62 %, whole
// chunks 71 %, of 516 bytes 27 %, transposed 30 %, fill 40 %.
#include "common.cuh"

#define CUZARR_MAX_AXES 16
#define CUZARR_SCATTER_WARPS 8
#define CUZARR_SCATTER_PIECE 8192  // bytes of a row that a warp takes at a time
#define CUZARR_SCATTER_UNROLL 4

struct Row {
    i64 count[CUZARR_MAX_AXES];
    i64 chunk_stride[CUZARR_MAX_AXES];  // step included
    i64 array_stride[CUZARR_MAX_AXES];
    const i64* chunk_list[CUZARR_MAX_AXES];  // at this row's first position, or null
    const i64* array_list[CUZARR_MAX_AXES];
    i64 chunk_offset, array_offset;
    i64 elements;
    i64 inner_chunk_stride, inner_array_stride;
    i32 axes;
    i32 unit;      // bytes copied at a time
    i32 plane;     // at most two axes, no lists, aligned, fewer than 2^31 units
    i32 bytewise;  // addresses are not multiples of the unit
    i32 valid;
};

struct Wave {
    const u64* chunks;
    const i64 *start, *count, *out, *axes, *flat;
    i64 n;
    i32 s, flat_axes;
    u64 array;
    i64 array_low, array_high, chunk_bytes;
    u64 fill_low, fill_high;
    i32 swap;
    u64* first_bad;
    u64 base;
};

// ---- units of 1 to 16 bytes -------------------------------------------------------------------

__device__ __forceinline__ u32 reverse_word(u32 v) { return __byte_perm(v, 0, 0x0123); }
__device__ __forceinline__ u32 reverse_halves(u32 v) { return __byte_perm(v, 0, 0x2301); }

__device__ __forceinline__ u8 swapped(u8 v, i32) { return v; }
__device__ __forceinline__ u16 swapped(u16 v, i32 swap) {
    return swap == 2 ? (u16)((v << 8) | (v >> 8)) : v;
}
__device__ __forceinline__ u32 swapped(u32 v, i32 swap) {
    return swap == 4 ? reverse_word(v) : swap == 2 ? reverse_halves(v) : v;
}
__device__ __forceinline__ uint2 swapped(uint2 v, i32 swap) {
    if (swap == 8) return make_uint2(reverse_word(v.y), reverse_word(v.x));
    return make_uint2(swapped(v.x, swap), swapped(v.y, swap));
}
__device__ __forceinline__ uint4 swapped(uint4 v, i32 swap) {
    const uint2 a = swapped(make_uint2(v.x, v.y), swap), b = swapped(make_uint2(v.z, v.w), swap);
    return make_uint4(a.x, a.y, b.x, b.y);
}

template <typename T>
__device__ __forceinline__ T fill_unit(const Wave& w);
template <>
__device__ __forceinline__ u8 fill_unit<u8>(const Wave& w) { return (u8)w.fill_low; }
template <>
__device__ __forceinline__ u16 fill_unit<u16>(const Wave& w) { return (u16)w.fill_low; }
template <>
__device__ __forceinline__ u32 fill_unit<u32>(const Wave& w) { return (u32)w.fill_low; }
template <>
__device__ __forceinline__ uint2 fill_unit<uint2>(const Wave& w) {
    return make_uint2((u32)w.fill_low, (u32)(w.fill_low >> 32));
}
template <>
__device__ __forceinline__ uint4 fill_unit<uint4>(const Wave& w) {
    return make_uint4((u32)w.fill_low, (u32)(w.fill_low >> 32),
                      (u32)w.fill_high, (u32)(w.fill_high >> 32));
}

template <typename T>
__device__ __forceinline__ T load_unit(const u8* p, bool bytewise) {
    if (!bytewise) return *(const T*)p;
    T value;
#pragma unroll
    for (u32 i = 0; i < sizeof(T); ++i) ((u8*)&value)[i] = p[i];
    return value;
}
template <typename T>
__device__ __forceinline__ void store_unit(u8* p, T value, bool bytewise) {
    if (!bytewise) {
        *(T*)p = value;
        return;
    }
#pragma unroll
    for (u32 i = 0; i < sizeof(T); ++i) p[i] = ((const u8*)&value)[i];
}

// ---- addresses --------------------------------------------------------------------------------

// Byte offset in the chunk of a position in the flattened chunk; -1 where it lies outside.
__device__ __forceinline__ i64 unravel(const Wave& w, i64 position) {
    i64 offset = 0;
    for (i32 a = w.flat_axes - 1; a >= 0; --a) {
        const i64 length = w.flat[2 * a];
        if (length <= 0) return -1;
        const i64 outer = position / length;
        offset += (position - outer * length) * w.flat[2 * a + 1];
        position = outer;
    }
    return position == 0 ? offset : -1;
}

// Byte offset of a listed position along an axis; -1 where no chunk could have it.
__device__ __forceinline__ i64 list_offset(const Wave& w, i64 position, i64 stride) {
    if (position < 0 || position >= w.chunk_bytes) return -1;  // nor can the product overflow
    return w.flat_axes ? unravel(w, position) : position * stride;
}

struct Place {
    i64 chunk, array;  // byte offsets
    bool inside;       // of the chunk and the array; only lists can lead outside
};

__device__ __forceinline__ i64 quotient(i64 u, i64 length) {
    // A 64-bit division is many times slower.
    return (u64)u < 0x100000000ull && (u64)length < 0x100000000ull ? (i64)((u32)u / (u32)length)
                                                                   : u / length;
}

// Unit `u` of any row. A call of its own: inlined it would be most of the code of every kernel.
__device__ __noinline__ Place locate(const Wave& w, const Row& row, bool present, i64 u, i32 unit) {
    Place p = {row.chunk_offset, row.array_offset, true};
    for (i32 a = row.axes - 1; a >= 0; --a) {
        i64 e = u;
        if (a) {
            const i64 outer = quotient(u, row.count[a]);
            e = u - outer * row.count[a];
            u = outer;
        }
        if (row.array_list[a]) {
            if (present) {
                const i64 offset = list_offset(w, row.chunk_list[a][e], row.chunk_stride[a]);
                p.inside = p.inside && offset >= 0;
                p.chunk += offset;
            }
            p.array += row.array_list[a][e] * row.array_stride[a];
        } else {
            p.chunk += e * row.chunk_stride[a];
            p.array += e * row.array_stride[a];
        }
    }
    p.inside = p.inside && (!present || (p.chunk >= 0 && p.chunk <= w.chunk_bytes - unit)) &&
               p.array >= w.array_low && p.array <= w.array_high - unit;
    return p;
}

__device__ __forceinline__ void reach(i64 by, i64& low, i64& high) {
    if (by < 0) low += by;
    else high += by;
}

// Fold the axes of row `i` into `row`; one lane does it. N: bytes per element.
__device__ __noinline__ void fold(const Wave& w, i64 i, bool present, i32 N, Row& row) {
    i64 chunk_offset = 0, array_offset = 0, elements = 1;
    i64 low = 0, high = 0, array_low = 0, array_high = 0;  // reach of the axes without lists
    i32 axes = 0;
    bool valid = true, lists = false;
    for (i32 a = 0; a < w.s; ++a) {
        const i64 count = w.count[i * w.s + a], start = w.start[i * w.s + a];
        const i64* axis = w.axes + 5 * a;
        const i64* chunk_list = (const i64*)axis[3];
        const i64* array_list = (const i64*)axis[4];
        const i64 array_stride = axis[2];
        if (count <= 0) {
            elements = 0;
            break;
        }
        elements *= count;
        if (array_list) {
            lists = true;
            if (count == 1) {
                if (present) {
                    const i64 offset = list_offset(w, chunk_list[start], axis[1]);
                    valid = valid && offset >= 0;
                    chunk_offset += offset;
                }
                array_offset += array_list[start] * array_stride;
                continue;
            }
            row.count[axes] = count;
            row.chunk_stride[axes] = axis[1];
            row.array_stride[axes] = array_stride;
            row.chunk_list[axes] = chunk_list + start;
            row.array_list[axes] = array_list + start;
            ++axes;
            continue;
        }
        array_offset += w.out[i * w.s + a] * array_stride;
        if (present) chunk_offset += start * axis[1];
        if (count == 1) continue;
        reach((count - 1) * axis[0] * axis[1], low, high);
        reach((count - 1) * array_stride, array_low, array_high);
        // A missing chunk takes the array's strides, so that only the array decides what merges.
        const i64 chunk_stride = present ? axis[0] * axis[1] : array_stride;
        if (axes && !row.array_list[axes - 1] &&
            row.chunk_stride[axes - 1] == chunk_stride * count &&
            row.array_stride[axes - 1] == array_stride * count) {
            row.count[axes - 1] *= count;
            row.chunk_stride[axes - 1] = chunk_stride;
            row.array_stride[axes - 1] = array_stride;
            continue;
        }
        row.count[axes] = count;
        row.chunk_stride[axes] = chunk_stride;
        row.array_stride[axes] = array_stride;
        row.chunk_list[axes] = 0;
        row.array_list[axes] = 0;
        ++axes;
    }
    u64 bits = w.array + (u64)array_offset;
    if (present) bits |= w.chunks[i] + (u64)chunk_offset;
    for (i32 a = 0; a < w.flat_axes; ++a) bits |= (u64)w.flat[2 * a + 1];
    const bool run = elements && axes && !row.array_list[axes - 1] &&
                     row.chunk_stride[axes - 1] == N && row.array_stride[axes - 1] == N;
    for (i32 a = 0; a < axes; ++a) {
        const bool last = run && a == axes - 1;
        bits |= last ? (u64)row.count[a] * N : (u64)row.array_stride[a];
        if (present && !last && !w.flat_axes) bits |= (u64)row.chunk_stride[a];
    }
    i32 unit = N;
    if (run) {
        while (unit < 16 && aligned(bits, 2 * unit)) unit *= 2;
        row.count[axes - 1] /= unit / N;
        row.chunk_stride[axes - 1] = unit;
        row.array_stride[axes - 1] = unit;
    }
    row.bytewise = !aligned(bits, N);
    if (elements && (!lists || axes == 0)) {
        valid = valid && array_offset + array_low >= w.array_low &&
                array_offset + array_high <= w.array_high - N &&
                (!present ||
                 (chunk_offset + low >= 0 && chunk_offset + high <= w.chunk_bytes - N));
    }
    row.plane = !lists && axes <= 2 && !row.bytewise && elements / (unit / N) < 0x7fffffff;
    row.inner_chunk_stride = axes ? row.chunk_stride[axes - 1] : 0;
    row.inner_array_stride = axes ? row.array_stride[axes - 1] : 0;
    row.chunk_offset = chunk_offset;
    row.array_offset = array_offset;
    row.elements = elements;
    row.axes = axes;
    row.unit = unit;
    row.valid = valid;
}

// Copy units [first, last) of a plane of runs; scatter fills where the chunk is missing. All of it
// was found to be inside. Several loads are under way before the first store.
template <typename T, bool SCATTER>
__device__ __noinline__ void copy_plane(const Wave& w, const Row& row, u64 chunk_address,
                                        u32 first, u32 last) {
    const u32 lane = threadIdx.x % CUZARR_WARP;
    // Integers, since a missing chunk has no address to add to.
    const u64 array = w.array + (u64)row.array_offset;
    const u64 chunk = chunk_address + (u64)row.chunk_offset;
    const u32 length = row.axes > 1 ? (u32)row.count[1] : 0;
    for (u32 u0 = first + lane; u0 < last; u0 += CUZARR_WARP * CUZARR_SCATTER_UNROLL) {
        T value[CUZARR_SCATTER_UNROLL];
        u64 target[CUZARR_SCATTER_UNROLL];
#pragma unroll
        for (u32 k = 0; k < CUZARR_SCATTER_UNROLL; ++k) {
            const u32 u = u0 + k * CUZARR_WARP;
            target[k] = 0;
            if (u >= last) continue;
            const u32 outer = length ? u / length : 0, inner = u - outer * length;
            u64 in_array = array + inner * (u64)row.inner_array_stride;
            u64 in_chunk = chunk + inner * (u64)row.inner_chunk_stride;
            if (outer) {
                in_array += outer * (u64)row.array_stride[0];
                in_chunk += outer * (u64)row.chunk_stride[0];
            }
            target[k] = SCATTER ? in_array : in_chunk;
            if (SCATTER && !chunk_address) value[k] = fill_unit<T>(w);
            else value[k] = *(const T*)(SCATTER ? in_chunk : in_array);
        }
        const i32 swap = SCATTER && !chunk_address ? 0 : w.swap;
#pragma unroll
        for (u32 k = 0; k < CUZARR_SCATTER_UNROLL; ++k)
            if (target[k]) *(T*)target[k] = swapped(value[k], swap);
    }
}

// The same for any row, unit by unit.
template <typename T, bool SCATTER>
__device__ __noinline__ void copy_units(const Wave& w, const Row& row, u64 chunk_address,
                                        i64 first, i64 last, u64 index) {
    const bool present = chunk_address != 0;
    for (i64 u = first + threadIdx.x % CUZARR_WARP; u < last; u += CUZARR_WARP) {
        const Place p = locate(w, row, present, u, (i32)sizeof(T));
        u8* in_array = (u8*)(w.array + (u64)p.array);
        u8* in_chunk = (u8*)(chunk_address + (u64)p.chunk);
        if (!p.inside) {
            report(w.first_bad, index);
        } else if (!SCATTER) {
            store_unit(in_chunk, swapped(load_unit<T>(in_array, row.bytewise), w.swap),
                       row.bytewise);
        } else if (present) {
            store_unit(in_array, swapped(load_unit<T>(in_chunk, row.bytewise), w.swap),
                       row.bytewise);
        } else {
            store_unit(in_array, fill_unit<T>(w), row.bytewise);
        }
    }
}

template <typename T, bool SCATTER>
__device__ __forceinline__ void copy_part(const Wave& w, const Row& row, u64 chunk, i64 first,
                                           i64 last, u64 index) {
    if (row.plane) copy_plane<T, SCATTER>(w, row, chunk, (u32)first, (u32)last);
    else copy_units<T, SCATTER>(w, row, chunk, first, last, index);
}

template <int N, bool SCATTER>
__device__ __forceinline__ void copy_rows(const Wave& w, const i64* __restrict__ tile_first) {
    __shared__ Row rows[CUZARR_SCATTER_WARPS];
    const u32 lane = threadIdx.x % CUZARR_WARP;
    Row& row = rows[threadIdx.x / CUZARR_WARP];
    const i64 tasks = w.n > 0 && w.s <= CUZARR_MAX_AXES ? tile_first[w.n] : 0;
    for (i64 task = first_warp(); task < tasks; task += all_warps()) {
        const Task t = find_task(tile_first, w.n, task);
        const u64 chunk = w.chunks[t.item];
        __syncwarp();  // the row of the task before is no longer read
        if (lane == 0) fold(w, t.item, chunk != 0, N, row);
        __syncwarp();
        const u64 index = w.base + (u64)t.item;
        if (!row.valid) {
            if (lane == 0) report(w.first_bad, index);
            continue;
        }
        if (!SCATTER && !chunk) continue;
        const i64 units = row.elements / (row.unit / N);
        const i64 piece = CUZARR_SCATTER_PIECE / row.unit;
        for (i64 first = t.tile * piece; first < units; first += t.tiles * piece) {
            const i64 last = smaller(first + piece, units);
            switch (row.unit) {
                case 16: copy_part<uint4, SCATTER>(w, row, chunk, first, last, index); break;
                case 8: if constexpr (N <= 8) copy_part<uint2, SCATTER>(w, row, chunk, first, last, index); break;
                case 4: if constexpr (N <= 4) copy_part<u32, SCATTER>(w, row, chunk, first, last, index); break;
                case 2: if constexpr (N <= 2) copy_part<u16, SCATTER>(w, row, chunk, first, last, index); break;
                default: if constexpr (N <= 1) copy_part<u8, SCATTER>(w, row, chunk, first, last, index);
            }
        }
    }
}

#define CUZARR_ROW_KERNEL(name, N, SCATTER)                                                        \
    extern "C" __global__ void __launch_bounds__(256) name(                                        \
        const u64* __restrict__ chunks, const i64* __restrict__ start,                             \
        const i64* __restrict__ count, const i64* __restrict__ out, const i64* __restrict__ axes,  \
        const i64* __restrict__ flat, const i64* __restrict__ tile_first, i64 n, i32 s,            \
        i32 flat_axes, u64 array, i64 array_low, i64 array_high, i64 chunk_bytes, u64 fill_low,    \
        u64 fill_high, i32 swap, u64* first_bad, u64 base) {                                       \
        __shared__ Wave wave;                                                                      \
        if (threadIdx.x == 0)                                                                      \
            wave = {chunks, start, count, out, axes, flat, n, s, flat_axes, array, array_low,      \
                    array_high, chunk_bytes, fill_low, fill_high, swap, first_bad, base};          \
        __syncthreads();                                                                           \
        copy_rows<N, SCATTER>(wave, tile_first);                                                   \
    }

CUZARR_ROW_KERNEL(scatter_1, 1, true)
CUZARR_ROW_KERNEL(scatter_2, 2, true)
CUZARR_ROW_KERNEL(scatter_4, 4, true)
CUZARR_ROW_KERNEL(scatter_8, 8, true)
CUZARR_ROW_KERNEL(scatter_16, 16, true)
CUZARR_ROW_KERNEL(gather_1, 1, false)
CUZARR_ROW_KERNEL(gather_2, 2, false)
CUZARR_ROW_KERNEL(gather_4, 4, false)
CUZARR_ROW_KERNEL(gather_8, 8, false)
CUZARR_ROW_KERNEL(gather_16, 16, false)
#undef CUZARR_ROW_KERNEL
