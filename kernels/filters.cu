// filter_elements: the element-by-element codecs of a chain undone in one pass, each a step of eight
// words (int64): operation, type before, type after, four parameters, number of pairs; the pairs of a
// scalar map follow all steps. All threads take the same way through a program.
//
// 1. CAST: as NumPy's astype, but for floats to integers, which NumPy leaves to the compiler.
// 2. UNSCALE: x / a + b in a floating-point type; c is what a CPU gives for 0 / 0.
// 3. UNSCALE_WHOLE: the same, exact in an integer type; a rest or an overflow is a bad chunk.
// 4. CAST_VALUE: the codec `cast_value`: a rounding and what to do with numbers out of range.
//
// A block takes 4096 elements of a chunk. Bytes moved per element: its size before, and after.
// On an H200 (which copies 2103 GB/s): a cast of int32 to float32 617 GB/s of results, x / a + b 472,
// both in one pass 408. What costs is the way through the program, not memory.
#include "elements.cuh"
#include "status.cuh"

#define CUZARR_FILTER_TILE 4096
#define CUZARR_STEP_WORDS 8

#define CUZARR_CAST 1
#define CUZARR_UNSCALE 2
#define CUZARR_UNSCALE_WHOLE 3
#define CUZARR_CAST_VALUE 4

#define CUZARR_CLAMP 1
#define CUZARR_WRAP 2

__device__ __forceinline__ u64 lowest(i32 type) {
    return is_signed(type) ? ~0ull << (8 * type_bytes(type) - 1) : 0ull;
}
__device__ __forceinline__ u64 highest(i32 type) {
    return ~0ull >> (64 - 8 * type_bytes(type) + is_signed(type));
}
// Whether an integer is below (-1), above (1) or in the range of a type.
__device__ __forceinline__ int outside(u64 whole, i32 from, i32 to) {
    if (is_signed(from) && (i64)whole < 0)
        return !is_signed(to) || (i64)whole < (i64)lowest(to) ? -1 : 0;
    return whole > highest(to) ? 1 : 0;
}

__device__ __forceinline__ double whole_real(u64 whole, i32 from, i32 to) {
    const bool minus = is_signed(from);
    if (to == CUZARR_F4) return (double)(minus ? (float)(i64)whole : (float)whole);
    const double found = minus ? (double)(i64)whole : (double)whole;
    return to == CUZARR_F2 ? round_half(found) : found;  // what was rounded is infinite there
}

__device__ __forceinline__ Value cast(Value v, i32 from, i32 to) {
    if (is_float(to)) v.real = is_float(from) ? round_to(v.real, to) : whole_real(v.whole, from, to);
    else if (to == CUZARR_BOOL) v.whole = is_float(from) ? v.real != 0 : v.whole != 0;
    else v.whole = truncated(v.whole, to);
    return v;
}

__device__ __forceinline__ double calculated(double before, double after, i32 type, u64 nan) {
    if (is_nan(double_bits(before))) return quiet_nan(double_bits(before));
    if (is_nan(double_bits(after))) return bits_double(nan);
    return round_to(after, type);
}

__device__ __forceinline__ double unscale(double v, i32 type, const i64* step) {
    const double scale = bits_double((u64)step[3]), offset = bits_double((u64)step[4]);
    const double quotient = calculated(v, v / scale, type, (u64)step[5]);
    return calculated(quotient, quotient + offset, type, (u64)step[5]);
}

__device__ __forceinline__ u64 unscale_whole(u64 whole, i32 type, const i64* step, bool* bad) {
    const u64 scale = (u64)step[3], offset = (u64)step[4];
    if (!is_signed(type)) {
        const u64 quotient = whole / scale, found = quotient + offset;
        *bad |= quotient * scale != whole || found < quotient || found > highest(type);
        return found;
    }
    const i64 v = (i64)whole;
    if ((i64)scale == -1) {  // the quotient of the lowest number may need one bit more
        const u64 found = 0 - whole + offset;
        const bool beyond = v == (i64)0x8000000000000000ull;
        const bool over = beyond ? (i64)offset >= 0
                                 : ((0 - whole) ^ found) & (offset ^ found) & 0x8000000000000000ull;
        *bad |= over || (i64)found < (i64)lowest(type) || (i64)found > (i64)highest(type);
        return found;
    }
    const u64 quotient = (u64)(v / (i64)scale), found = quotient + offset;
    const bool over = (quotient ^ found) & (offset ^ found) & 0x8000000000000000ull;
    *bad |= quotient * scale != whole || over || (i64)found < (i64)lowest(type) ||
            (i64)found > (i64)highest(type);
    return found;
}

__device__ __forceinline__ double rounded(double v, i64 how) {
    switch (how) {
        case 1: return trunc(v);
        case 2: return ceil(v);
        case 3: return floor(v);
        case 4: {
            const double down = trunc(v);
            return fabs(v - down) >= 0.5 ? down + (v < 0 ? -1.0 : 1.0) : down;
        }
        default: return rint(v);
    }
}

__device__ __forceinline__ u64 real_whole(double v, i32 to, const i64* step, bool* bad) {
    if ((double_bits(v) >> 52 & 0x7ff) == 0x7ff) {
        *bad = true;
        return 0;
    }
    const double whole = rounded(v, step[3]), size = fabs(whole);
    // Powers of two: exact, where the highest integers are not.
    const double low = is_signed(to) ? (double)(i64)lowest(to) : 0.0;
    const double high = 2.0 * (double)(highest(to) / 2 + 1);
    const bool below = whole < low, above = whole >= high;
    if ((below || above) && step[4] != CUZARR_WRAP) {
        *bad |= step[4] != CUZARR_CLAMP;
        return below ? lowest(to) : highest(to);
    }
    const double two64 = 18446744073709551616.0;
    const u64 magnitude = (u64)(size < two64 ? size : fmod(size, two64));
    return truncated(whole < 0 ? 0 - magnitude : magnitude, to);
}

__device__ __forceinline__ Value cast_value(Value v, const i64* step, const i64* pairs, bool* bad) {
    const i32 from = (i32)step[1], to = (i32)step[2];
    Value found;
    found.whole = 0;
    found.real = 0;
    for (i64 k = 0; k < step[7]; ++k) {
        const i64* pair = pairs + 2 * k;
        const double key = bits_double((u64)pair[0]);
        const bool same = is_float(from)
                              ? v.real == key || (v.real != v.real && key != key)
                              : v.whole == (u64)pair[0];
        if (!same) continue;
        found.whole = (u64)pair[1];
        found.real = bits_double((u64)pair[1]);
        return found;
    }
    if (is_float(to)) {
        found = cast(v, from, to);
        const bool was = is_float(from) && (double_bits(v.real) >> 52 & 0x7ff) == 0x7ff;
        const bool now = (double_bits(found.real) >> 52 & 0x7ff) == 0x7ff;
        *bad |= now && !was && step[4] != CUZARR_CLAMP;
    } else if (is_float(from)) {
        found.whole = real_whole(v.real, to, step, bad);
    } else {
        const int where = outside(v.whole, from, to);
        if (where && step[4] != CUZARR_WRAP) {
            *bad |= step[4] != CUZARR_CLAMP;
            found.whole = where < 0 ? lowest(to) : highest(to);
        } else {
            found.whole = truncated(v.whole, to);
        }
    }
    return found;
}

extern "C" __global__ void __launch_bounds__(256)
    filter_elements(const u64* __restrict__ src, const u64* __restrict__ dst,
                    const i32* __restrict__ owner, i64 n, i64 elements,
                    const i64* __restrict__ program, i32 steps, i32 swap, u64 base,
                    u64* first_bad) {
    const i64 tiles = (elements + CUZARR_FILTER_TILE - 1) / CUZARR_FILTER_TILE;
    const i32 before = (i32)program[1];
    const i32 after = (i32)program[CUZARR_STEP_WORDS * (steps - 1) + 2];
    const u32 in_bytes = type_bytes(before), out_bytes = type_bytes(after);
    for (i64 task = blockIdx.x; task < n * tiles; task += gridDim.x) {
        const i64 item = task / tiles, first = (task - item * tiles) * CUZARR_FILTER_TILE;
        const i64 end = smaller(first + CUZARR_FILTER_TILE, elements);
        const u8* from = (const u8*)src[item];
        u8* to = (u8*)dst[item];
        bool bad = false;
        for (i64 e = first + threadIdx.x; e < end; e += blockDim.x) {
            Value v = load_value(from + e * in_bytes, before, swap);
            const i64* pairs = program + CUZARR_STEP_WORDS * steps;
            for (i32 s = 0; s < steps; ++s) {
                const i64* step = program + CUZARR_STEP_WORDS * s;
                switch (step[0]) {
                    case CUZARR_CAST: v = cast(v, (i32)step[1], (i32)step[2]); break;
                    case CUZARR_UNSCALE: v.real = unscale(v.real, (i32)step[1], step); break;
                    case CUZARR_UNSCALE_WHOLE:
                        v.whole = unscale_whole(v.whole, (i32)step[1], step, &bad);
                        break;
                    default: v = cast_value(v, step, pairs, &bad);
                }
                pairs += 2 * step[7];
            }
            store_value(to + e * out_bytes, after, v);
        }
        if (bad) report_chunk(owner, item, CUZARR_BAD_VALUE, base, 0, first_bad);
    }
}
