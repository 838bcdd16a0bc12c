// Elements of every number type in registers: integers as 64 bits, floats as double, both exact.
//
// What is not a number keeps its sign and the high bits of its payload, and becomes quiet: so do
// the conversions of a CPU, while those of a GPU forget the payload. Floats of two and four bytes
// are calculated in double and rounded once more, which gives the bits of their own arithmetic
// (double has more than twice their digits, and two).
#ifndef CUZARR_ELEMENTS_CUH
#define CUZARR_ELEMENTS_CUH
#include "common.cuh"

// The same numbers in cuzarr.cuda.elements.
#define CUZARR_BOOL 0
#define CUZARR_I1 1
#define CUZARR_I2 2
#define CUZARR_I4 3
#define CUZARR_I8 4
#define CUZARR_U1 5
#define CUZARR_U2 6
#define CUZARR_U4 7
#define CUZARR_U8 8
#define CUZARR_F2 9
#define CUZARR_F4 10
#define CUZARR_F8 11

struct Value {
    u64 whole;  // an integer or bool; signed ones extended
    double real;
};

__device__ __forceinline__ bool is_float(i32 type) { return type >= CUZARR_F2; }
__device__ __forceinline__ bool is_signed(i32 type) {
    return type >= CUZARR_I1 && type <= CUZARR_I8;
}
__device__ __forceinline__ u32 type_bytes(i32 type) {
    if (type == CUZARR_BOOL) return 1;
    return type >= CUZARR_F2 ? 2u << (type - CUZARR_F2) : 1u << ((type - 1) & 3);
}

__device__ __forceinline__ u64 double_bits(double v) { return (u64)__double_as_longlong(v); }
__device__ __forceinline__ double bits_double(u64 v) { return __longlong_as_double((i64)v); }
__device__ __forceinline__ bool is_nan(u64 bits) {
    return (bits & 0x7fffffffffffffffull) > 0x7ff0000000000000ull;
}
__device__ __forceinline__ double quiet_nan(u64 bits) {
    return bits_double(bits | 0x7ff8000000000000ull);
}

// Bytes, as an unsigned number.
__device__ __forceinline__ u64 load_raw(const u8* __restrict__ p, u32 bytes, bool swap) {
    u64 raw = 0;
    if (aligned((u64)p, bytes)) {
        switch (bytes) {
            case 1: return *p;
            case 2: raw = *(const u16*)p; break;
            case 4: raw = *(const u32*)p; break;
            default: raw = *(const u64*)p;
        }
    } else {
        for (u32 k = 0; k < bytes; ++k) raw |= (u64)p[k] << (8 * k);
    }
    if (swap) {
        const u32 low = __byte_perm((u32)raw, 0, 0x0123);
        const u32 high = __byte_perm((u32)(raw >> 32), 0, 0x0123);
        raw = ((u64)low << 32 | high) >> (64 - 8 * bytes);
    }
    return raw;
}

__device__ __forceinline__ void store_raw(u8* __restrict__ p, u32 bytes, u64 raw) {
    switch (bytes) {  // what is written here was allocated here, hence aligned
        case 1: *p = (u8)raw; break;
        case 2: *(u16*)p = (u16)raw; break;
        case 4: *(u32*)p = (u32)raw; break;
        default: *(u64*)p = raw;
    }
}

// The low bytes of a number, extended as their type says.
__device__ __forceinline__ u64 truncated(u64 whole, i32 type) {
    const u32 unused = 64 - 8 * type_bytes(type);
    return is_signed(type) ? (u64)((i64)(whole << unused) >> unused) : whole << unused >> unused;
}

__device__ __forceinline__ double half_double(u32 bits) {
    const u64 sign = (u64)(bits >> 15) << 63;
    const u32 exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) {
        const u64 found = sign | 0x7ff0000000000000ull | (u64)mantissa << 42;
        return mantissa ? quiet_nan(found) : bits_double(found);
    }
    // 2^-24 is the smallest half; this product is exact.
    const double low = (double)(exponent ? mantissa | 1024 : mantissa) * 5.9604644775390625e-08;
    const double scale = bits_double((u64)(1023 + (exponent ? exponent - 1 : 0)) << 52);
    return bits_double(double_bits(low * scale) | sign);
}

__device__ __forceinline__ double float_double(u32 bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return quiet_nan((u64)(bits >> 31) << 63 | (u64)(bits & 0x7fffffu) << 29);
    return (double)__uint_as_float(bits);
}

// Rounded to the nearest half, ties to even; a double that is one.
__device__ __forceinline__ double round_half(double v) {
    const u64 bits = double_bits(v), sign = bits & 0x8000000000000000ull;
    u64 size = bits ^ sign;
    if (size > 0x7ff0000000000000ull) return quiet_nan(bits);
    if (size < (u64)(1023 - 14) << 52) {  // halves are multiples of 2^-24 there
        const double found = rint(bits_double(size) * 16777216.0) * 5.9604644775390625e-08;
        return bits_double(double_bits(found) | sign);
    }
    size += ((1ull << 41) - 1) + (size >> 42 & 1);
    size &= ~((1ull << 42) - 1);
    if (size >= (u64)(1023 + 16) << 52) size = 0x7ff0000000000000ull;
    return bits_double(size | sign);
}

__device__ __forceinline__ double round_to(double v, i32 type) {
    if (is_nan(double_bits(v))) {  // the payload that the type has room for
        const u32 lost = type == CUZARR_F2 ? 42 : type == CUZARR_F4 ? 29 : 0;
        return quiet_nan(double_bits(v) >> lost << lost);
    }
    if (type == CUZARR_F2) return round_half(v);
    return type == CUZARR_F4 ? (double)(float)v : v;
}

// A double that is a value of the type, as its bits.
__device__ __forceinline__ u64 float_raw(double v, i32 type) {
    const u64 bits = double_bits(v), sign = bits >> 63;
    if (type == CUZARR_F8) return bits;
    if (type == CUZARR_F4) {
        if (is_nan(bits)) return sign << 31 | 0x7f800000u | (bits >> 29 & 0x7fffffu);
        return __float_as_uint((float)v);
    }
    const u64 size = bits & 0x7fffffffffffffffull;
    if (size >= 0x7ff0000000000000ull) return sign << 15 | 0x7c00u | (size >> 42 & 0x3ffu);
    if (size < (u64)(1023 - 14) << 52)
        return sign << 15 | (u64)(bits_double(size) * 16777216.0);
    return sign << 15 | ((size >> 42) - ((u64)(1023 - 15) << 10));
}

__device__ __forceinline__ Value load_value(const u8* __restrict__ p, i32 type, bool swap) {
    const u64 raw = load_raw(p, type_bytes(type), swap);
    Value v;
    v.whole = 0;
    v.real = 0;
    if (type == CUZARR_F2) v.real = half_double((u32)raw);
    else if (type == CUZARR_F4) v.real = float_double((u32)raw);
    else if (type == CUZARR_F8) v.real = bits_double(raw);
    else if (type == CUZARR_BOOL) v.whole = raw != 0;
    else v.whole = truncated(raw, type);
    return v;
}

__device__ __forceinline__ void store_value(u8* __restrict__ p, i32 type, Value v) {
    store_raw(p, type_bytes(type), is_float(type) ? float_raw(v.real, type) : v.whole);
}

#endif
