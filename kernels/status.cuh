// Codes of a chunk's status, the same in cuzarr.cuda; the largest wins, whatever the order.
#ifndef CUZARR_STATUS_CUH
#define CUZARR_STATUS_CUH
#include "common.cuh"

#define CUZARR_DECODER_STATUS 0x10000
#define CUZARR_WRONG_SIZE 0x20000
#define CUZARR_WRONG_CHECKSUM 0x30000
#define CUZARR_BAD_VALUE 0x40000

__device__ __forceinline__ void report_chunk(const i32* __restrict__ owner, i64 i, i32 code,
                                             u64 base, i32* chunk_status, u64* first_bad) {
    const i64 chunk = owner ? (i64)owner[i] : i;
    if (chunk_status) atomicMax(chunk_status + chunk, code);
    report(first_bad, base + (u64)chunk);
}

#endif
