// blosclz_decompress, snappy_decompress: streams that nvCOMP cannot decode, or not safely. A damaged
// stream is an answer: no access leaves its input and its output.
//
// A warp takes a stream. Its threads read the same control bytes, and share the copies; a match that
// reaches into itself repeats what lies before it, so that nothing within a copy depends on the copy.
//
// Formats: blosclz.c of c-blosc 1.21; format_description.txt of snappy.
// Bytes moved per decoded byte: about 1 written and 1 to 2 read, mostly in cache; time goes into the
// chain of control bytes. On an H200, 16384 streams of 32 KiB (and 256): blosclz 387 GB/s (35), snappy
// 144 (13); nvCOMP's LZ4 of the same bytes 389 (29).
#include "common.cuh"

#define CUZARR_CORRUPT 12  // as nvCOMP says it
#define CUZARR_BLOSCLZ_FAR 8191

// One stream; the same in all threads of the warp.
struct Pieces {
    const u8* in;
    i64 at, size;
    u8* out;
    i64 made, capacity;

    __device__ __forceinline__ bool has(i64 n) const { return n <= size - at; }

    // The value of n bytes, little endian; -1 past the end.
    __device__ __forceinline__ i64 number(int n) {
        if (!has(n)) return -1;
        i64 value = 0;
        for (int i = 0; i < n; ++i) value |= (i64)in[at++] << (8 * i);
        return value;
    }
    __device__ __forceinline__ bool literals(i64 n) {
        if (n < 0 || !has(n) || n > capacity - made) return false;
        for (i64 k = threadIdx.x % CUZARR_WARP; k < n; k += CUZARR_WARP) out[made + k] = in[at + k];
        at += n;
        made += n;
        return true;
    }
    __device__ __forceinline__ bool match(i64 distance, i64 n) {
        if (distance <= 0 || distance > made || n > capacity - made) return false;
        __syncwarp();  // what other threads of the warp wrote
        const u8* from = out + made - distance;
        const u32 lane = threadIdx.x % CUZARR_WARP;
        if (distance >= n) {
            for (i64 k = lane; k < n; k += CUZARR_WARP) out[made + k] = from[k];
        } else {
            for (i64 k = lane; k < n; k += CUZARR_WARP) out[made + k] = from[k % distance];
        }
        made += n;
        return true;
    }
};

__device__ bool blosclz_stream(Pieces& s) {
    i64 control = s.number(1);
    if (control < 0) return false;
    control &= 31;
    for (;;) {
        if (control < 32) {
            if (!s.literals(control + 1)) return false;
            if (!s.has(1)) return true;
            control = s.number(1);
            continue;
        }
        i64 length = (control >> 5) - 1, high = (control & 31) << 8;
        if (length == 6) {
            i64 more;
            do {
                if (!s.has(2)) return false;
                more = s.number(1);
                length += more;
            } while (more == 255);
        } else if (!s.has(2)) {
            return false;
        }
        const i64 low = s.number(1);
        i64 distance = high + low + 1;
        if (low == 255 && high == 31 << 8) {
            if (!s.has(2)) return false;
            high = s.number(1) << 8;
            distance = high + s.number(1) + CUZARR_BLOSCLZ_FAR + 1;
        }
        // A match is not the last thing in a stream.
        if (!s.has(1) || !s.match(distance, length + 3)) return false;
        control = s.number(1);
    }
}

__device__ bool snappy_stream(Pieces& s) {
    i64 expected = 0;
    for (int shift = 0;; shift += 7) {
        const i64 byte = s.number(1);
        if (byte < 0 || shift > 28) return false;
        expected |= (byte & 127) << shift;
        if (byte < 128) break;
    }
    if (expected != s.capacity) return false;
    while (s.has(1)) {
        const i64 tag = s.number(1);
        const int kind = (int)(tag & 3);
        i64 distance, length = tag >> 2;
        if (kind == 0) {
            if (length >= 60) length = s.number((int)length - 59);
            if (length < 0 || !s.literals(length + 1)) return false;
            continue;
        }
        if (kind == 1) {
            const i64 low = s.number(1);
            distance = low < 0 ? -1 : (tag >> 5) << 8 | low;
            length = (tag >> 2 & 7) + 4;
        } else {
            distance = s.number(kind == 2 ? 2 : 4);
            ++length;
        }
        if (!s.match(distance, length)) return false;
    }
    return true;
}

// As nvCOMP's calls: streams, room, what was made (0 for a damaged stream), and a status for each.
#define CUZARR_LZ77_KERNEL(NAME)                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                             \
        NAME##_decompress(const u64* __restrict__ src, const u64* __restrict__ nbytes,            \
                          const u64* __restrict__ capacity, u64* __restrict__ actual, i64 n,      \
                          const u64* __restrict__ dst, i32* __restrict__ statuses) {              \
        for (i64 i = first_warp(); i < n; i += all_warps()) {                                     \
            Pieces s = {(const u8*)src[i], 0, (i64)nbytes[i], (u8*)dst[i], 0, (i64)capacity[i]};  \
            const bool good = NAME##_stream(s);                                                   \
            const u32 lane = threadIdx.x % CUZARR_WARP;                                           \
            /* nothing of an earlier use stays in the output of a damaged stream */               \
            for (i64 k = s.made + lane; k < s.capacity; k += CUZARR_WARP) s.out[k] = 0;           \
            __syncwarp();                                                                         \
            if (lane) continue;                                                                   \
            actual[i] = good ? (u64)s.made : 0;                                                   \
            statuses[i] = good ? 0 : CUZARR_CORRUPT;                                              \
        }                                                                                         \
    }

CUZARR_LZ77_KERNEL(blosclz)
CUZARR_LZ77_KERNEL(snappy)
