// CUDA C++ as the host compiler sees it: enough of the language for kernels/*.cu.
//
// 1. Every thread of a block is a fibre (device.cpp); __syncthreads and warp intrinsics switch
//    between them, so code after a barrier really sees what other threads did before it.
// 2. Shared memory is one section of static storage, poisoned before every block.
// 3. Loads and stores are instrumented by the compiler; atomics report themselves, since two
//    launches may meet in an atomic without an event between them.
#ifndef CUZARR_CUDA_SHIM_H
#define CUZARR_CUDA_SHIM_H

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

struct Dim3 {
    unsigned x, y, z;
};
extern Dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __constant__ static const
#define __shared__ static __attribute__((section("cuzarr_shared")))
#ifndef __global__
#define __global__
#endif

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern "C" {
void emu_syncthreads();
void emu_syncwarp(unsigned mask);
uint64_t emu_exchange(unsigned mask, uint64_t value, unsigned source_lane);
unsigned emu_ballot(unsigned mask, int predicate);
unsigned emu_lane();
void emu_atomic(const void* address, unsigned bytes);
}

inline void __syncthreads() { emu_syncthreads(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emu_syncwarp(mask); }
inline void __threadfence() {}

template <typename T>
inline T emu_shuffle(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffles move 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = emu_exchange(mask, bits, source);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int lane) {
    return emu_shuffle(mask, value, (unsigned)lane & 31u);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return emu_shuffle(mask, value, (emu_lane() ^ (unsigned)bits) & 31u);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
    const unsigned lane = emu_lane();
    return emu_shuffle(mask, value, lane + delta < 32 ? lane + delta : lane);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
    const unsigned lane = emu_lane();
    return emu_shuffle(mask, value, lane >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) { return emu_ballot(mask, predicate); }
inline int __any_sync(unsigned mask, int predicate) { return emu_ballot(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return emu_ballot(mask, !predicate) == 0; }

// An ordinary load and store would be checked as such.
#ifdef CUZARR_TRACED
#define CUZARR_UNTRACED __attribute__((no_sanitize("kernel-address"), noinline))
#else
#define CUZARR_UNTRACED
#endif

template <typename T, typename F>
CUZARR_UNTRACED inline T emu_update(T* address, F update) {
    emu_atomic(address, sizeof(T));
    const T old = __atomic_load_n(address, __ATOMIC_RELAXED);
    __atomic_store_n(address, update(old), __ATOMIC_RELAXED);
    return old;
}
template <typename T>
inline T atomicMin(T* p, T v) {
    return emu_update(p, [v](T old) { return v < old ? v : old; });
}
template <typename T>
inline T atomicMax(T* p, T v) {
    return emu_update(p, [v](T old) { return v > old ? v : old; });
}
template <typename T>
inline T atomicAdd(T* p, T v) {
    return emu_update(p, [v](T old) { return (T)(old + v); });
}
template <typename T>
inline T atomicXor(T* p, T v) {
    return emu_update(p, [v](T old) { return (T)(old ^ v); });
}
template <typename T>
inline T atomicOr(T* p, T v) {
    return emu_update(p, [v](T old) { return (T)(old | v); });
}

template <typename T>
inline T __ldg(const T* p) {
    return *p;
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned which = selector >> (4 * i) & 7u;
        result |= (unsigned)(bytes >> (8 * which) & 0xffu) << (8 * i);
    }
    return result;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31u));
}
template <typename To, typename From>
inline To emu_bits(From v) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    __builtin_memcpy(&to, &v, sizeof(To));
    return to;
}
inline long long __double_as_longlong(double v) { return emu_bits<long long>(v); }
inline double __longlong_as_double(long long v) { return emu_bits<double>(v); }
inline unsigned __float_as_uint(float v) { return emu_bits<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return emu_bits<float>(v); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
inline int __ffs(int v) { return __builtin_ffs(v); }

#endif
