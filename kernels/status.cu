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
