// check_statuses: what a batched decoder reported, reduced so that the host reads eight bytes per call.
//
// A thread takes one stream. Bytes moved per stream: 4 to 24 read; nothing written where all is well.
#include "common.cuh"
#include "status.cuh"

extern "C" __global__ void __launch_bounds__(256)
    check_statuses(const i32* __restrict__ statuses, const u64* __restrict__ actual,
                   const u64* __restrict__ expected, const i32* __restrict__ owner, i64 n, u64 base,
                   i32* chunk_status, u64* first_bad) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (i64)gridDim.x * blockDim.x) {
        const i32 status = statuses[i];
        if (status != 0) {
            report_chunk(owner, i, CUZARR_DECODER_STATUS + (status & 0xffff), base, chunk_status,
                         first_bad);
        } else if (actual && expected && actual[i] != expected[i]) {
            report_chunk(owner, i, CUZARR_WRONG_SIZE, base, chunk_status, first_bad);
        }
    }
}

// check_booleans: whether some byte of an array of booleans is neither 0 nor 1.
//
// A thread takes one element, or eight where they lie in a row. Bytes moved per element: 1 read.
extern "C" __global__ void __launch_bounds__(256)
    check_booleans(u64 array, const i64* __restrict__ axes, i32 s, i64 n, u64* found) {
    const i64 first = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 all = (i64)gridDim.x * blockDim.x;
    u64 bits = 0;
    if (s == 1 && axes[1] == 1) {
        const u8* bytes = (const u8*)array;
        const i64 head = smaller((i64)(-array & 7), n), words = (n - head) / 8;
        const u64* body = (const u64*)(bytes + head);
        for (i64 i = first; i < words; i += all) bits |= body[i];
        for (i64 i = first; i < head; i += all) bits |= bytes[i];
        for (i64 i = head + 8 * words + first; i < n; i += all) bits |= bytes[i];
    } else {
        for (i64 i = first; i < n; i += all) {
            i64 rest = i, offset = 0;
            for (i32 a = s - 1; a >= 0; --a) {
                offset += rest % axes[2 * a] * axes[2 * a + 1];
                rest /= axes[2 * a];
            }
            bits |= *(const u8*)(array + (u64)offset);
        }
    }
    if (bits & ~0x0101010101010101ull) report(found, ~0ull - 1);
}
