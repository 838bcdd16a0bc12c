// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720, appendix B.4) and CRC-32 (reflected
// polynomial 0xedb88320; RFC 1952, 8) of many segments.
//
// 1. A segment is cut in pieces of 16 KiB, counted from its end, so that the number of bytes after a
//    piece is known and only the first piece is short: zeros in front of it do not change a CRC that
//    starts from zero.
// 2. A block takes a piece, thread t the words t, t + 256, ...: a CRC is linear, so a thread multiplies
//    what it has by x^(32 * 256) (four table look-ups) before it adds its next word. Loads are whole
//    sectors. At the end each thread is moved to the piece's end and all are added (xor).
// 3. The block moves its sum to the segment's end and adds it to `partial` atomically. The kernels
//    below put in the initial value, which a segment's length alone decides, and the final inversion.
//
// Bytes moved per byte: 1 read. On an H200: 460 GB/s of segments of a mebibyte.
#include "common.cuh"
#include "status.cuh"

#define CUZARR_CASTAGNOLI 0x82f63b78u
#define CUZARR_ETHERNET 0xedb88320u
#define CUZARR_CRC_PIECE 16384
#define CUZARR_CRC_THREADS 256
#define CUZARR_CRC_WORDS (CUZARR_CRC_PIECE / 4 / CUZARR_CRC_THREADS)

// Polynomials modulo the generator, reflected: the highest bit is the coefficient of x^0.
#define CUZARR_CRC_ONE 0x80000000u

template <u32 POLYNOMIAL>
__device__ u32 crc_times(u32 a, u32 b) {
    u32 product = 0;
    for (int i = 0; i < 32; ++i) {
        product ^= (a & 0x80000000u) ? b : 0u;
        a <<= 1;
        b = (b >> 1) ^ ((b & 1u) ? POLYNOMIAL : 0u);
    }
    return product;
}

// x^(8 * bytes).
template <u32 POLYNOMIAL>
__device__ u32 crc_power(u64 bytes) {
    u32 result = CUZARR_CRC_ONE, square = CUZARR_CRC_ONE >> 8;
    for (; bytes; bytes >>= 1) {
        if (bytes & 1) result = crc_times<POLYNOMIAL>(result, square);
        square = crc_times<POLYNOMIAL>(square, square);
    }
    return result;
}

// The word whose last byte is `after` bytes before the end of a segment of `size` bytes; bytes
// before the segment are zero.
__device__ __forceinline__ u32 crc_word(const u8* __restrict__ segment, i64 size, i64 after) {
    const i64 at = size - after - 4;
    if (at >= 0) return load_u32(segment + at);
    u32 word = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k)
        if (at + k >= 0) word |= (u32)segment[at + k] << (8 * k);
    return word;
}

template <u32 POLYNOMIAL>
__device__ void crc_partial(const u64* __restrict__ src, const i64* __restrict__ nbytes,
                            const i64* __restrict__ tile_first, i64 n, u32* partial,
                            u32 (*advance)[256], u32* sums) {
    const u32 t = threadIdx.x;
    if (blockDim.x != CUZARR_CRC_THREADS || n <= 0) return;
    const u32 stride = crc_power<POLYNOMIAL>(4 * CUZARR_CRC_THREADS);
    for (u32 k = 0; k < 4; ++k) advance[k][t] = crc_times<POLYNOMIAL>(t << (8 * k), stride);
    // Adding word w to a CRC and moving past it multiplies by x^32, as do the words that follow.
    const u32 to_end = crc_power<POLYNOMIAL>(4 * (u64)(CUZARR_CRC_THREADS - t));
    __syncthreads();
    const i64 tasks = tile_first[n];
    for (i64 task = blockIdx.x; task < tasks; task += gridDim.x) {
        const Task own = find_task(tile_first, n, task);
        const u8* segment = (const u8*)src[own.item];
        const i64 size = nbytes[own.item];
        for (i64 piece = own.tile; piece * CUZARR_CRC_PIECE < size; piece += own.tiles) {
            const i64 after = piece * CUZARR_CRC_PIECE;
            u32 crc = 0;
#pragma unroll 4
            for (int k = 0; k < CUZARR_CRC_WORDS; ++k) {
                const i64 word = (i64)(CUZARR_CRC_WORDS - 1 - k) * CUZARR_CRC_THREADS +
                                 (CUZARR_CRC_THREADS - 1 - t);
                crc = advance[0][crc & 255] ^ advance[1][crc >> 8 & 255] ^
                      advance[2][crc >> 16 & 255] ^ advance[3][crc >> 24];
                if (size - after - 4 * word > 0) crc ^= crc_word(segment, size, after + 4 * word);
            }
            crc = crc_times<POLYNOMIAL>(crc, to_end);
            for (int bits = CUZARR_WARP / 2; bits; bits /= 2)
                crc ^= __shfl_xor_sync(CUZARR_FULL_MASK, crc, bits);
            if (t % CUZARR_WARP == 0) sums[t / CUZARR_WARP] = crc;
            __syncthreads();
            if (t == 0) {
                u32 sum = 0;
                for (u32 k = 0; k < CUZARR_CRC_THREADS / CUZARR_WARP; ++k) sum ^= sums[k];
                atomicXor(partial + own.item, crc_times<POLYNOMIAL>(sum, crc_power<POLYNOMIAL>((u64)after)));
            }
            __syncthreads();
        }
    }
}

template <u32 POLYNOMIAL>
__device__ __forceinline__ u32 crc_final(u32 partial, i64 size) {
    return ~(partial ^
             crc_times<POLYNOMIAL>(0xffffffffu, crc_power<POLYNOMIAL>((u64)size)));
}

template <u32 POLYNOMIAL>
__device__ void crc_check(const i64* __restrict__ nbytes, const u32* __restrict__ partial,
                          const u64* __restrict__ expected, const i32* __restrict__ owner, i64 n,
                          u64 base, i32* chunk_status, u64* first_bad) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (i64)gridDim.x * blockDim.x) {
        if (crc_final<POLYNOMIAL>(partial[i], nbytes[i]) != load_u32((const u8*)expected[i]))
            report_chunk(owner, i, CUZARR_WRONG_CHECKSUM, base, chunk_status, first_bad);
    }
}

template <u32 POLYNOMIAL>
__device__ void crc_store(const i64* __restrict__ nbytes, const u32* __restrict__ partial,
                          const u64* __restrict__ dst, i64 n) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (i64)gridDim.x * blockDim.x) {
        const u32 crc = crc_final<POLYNOMIAL>(partial[i], nbytes[i]);
        u8* p = (u8*)dst[i];
        for (u32 k = 0; k < 4; ++k) p[k] = (u8)(crc >> (8 * k));
    }
}

#define CUZARR_CRC_KERNELS(NAME, POLYNOMIAL)                                                       \
    extern "C" __global__ void __launch_bounds__(CUZARR_CRC_THREADS)                               \
        NAME##_partial(const u64* __restrict__ src, const i64* __restrict__ nbytes,                \
                       const i64* __restrict__ tile_first, i64 n, u32* partial) {                  \
        __shared__ u32 advance[4][256];                                                            \
        __shared__ u32 sums[CUZARR_CRC_THREADS / CUZARR_WARP];                                     \
        crc_partial<POLYNOMIAL>(src, nbytes, tile_first, n, partial, advance, sums);               \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME##_check(const i64* __restrict__ nbytes, const u32* __restrict__ partial,              \
                     const u64* __restrict__ expected, const i32* __restrict__ owner, i64 n,       \
                     u64 base, i32* chunk_status, u64* first_bad) {                                \
        crc_check<POLYNOMIAL>(nbytes, partial, expected, owner, n, base, chunk_status, first_bad); \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME##_store(const i64* __restrict__ nbytes, const u32* __restrict__ partial,              \
                     const u64* __restrict__ dst, i64 n) {                                         \
        crc_store<POLYNOMIAL>(nbytes, partial, dst, n);                                            \
    }

CUZARR_CRC_KERNELS(crc32c, CUZARR_CASTAGNOLI)
CUZARR_CRC_KERNELS(crc32, CUZARR_ETHERNET)
