// Raw LZ4 blocks and Snappy for the emulated nvCOMP: bounded, so that corrupt input is an answer.
// Formats: lz4_Block_format.md of lz4; format_description.txt of snappy.
#include <cstdint>
#include <cstring>

namespace {
struct Cursor {
    const uint8_t* in;
    int64_t size, at;
    uint8_t* out;
    int64_t capacity, made;

    bool literals(int64_t n) {
        if (n < 0 || n > size - at || n > capacity - made) return false;
        std::memcpy(out + made, in + at, (size_t)n);
        at += n;
        made += n;
        return true;
    }
    bool match(int64_t distance, int64_t n) {
        if (distance <= 0 || distance > made || n > capacity - made) return false;
        for (int64_t i = 0; i < n; ++i, ++made) out[made] = out[made - distance];
        return true;
    }
    // The value of n bytes, little endian; -1 past the end.
    int64_t number(int n) {
        if (n > size - at) return -1;
        int64_t value = 0;
        for (int i = 0; i < n; ++i) value |= (int64_t)in[at++] << (8 * i);
        return value;
    }
};

// A length that 15 in its half of the token says is continued.
int64_t lz4_length(Cursor& c, int64_t length) {
    if (length != 15) return length;
    for (;;) {
        const int64_t more = c.number(1);
        if (more < 0) return -1;
        length += more;
        if (more != 255) return length;
    }
}
}  // namespace

extern "C" {

// Decoded bytes, or -1.
int64_t emu_lz4(uint64_t in, int64_t in_bytes, uint64_t out, int64_t capacity) {
    Cursor c = {(const uint8_t*)in, in_bytes, 0, (uint8_t*)out, capacity, 0};
    for (;;) {
        const int64_t token = c.number(1);
        if (token < 0) return -1;
        const int64_t literal = lz4_length(c, token >> 4);
        if (literal < 0 || !c.literals(literal)) return -1;
        if (c.at == c.size) return c.made;
        const int64_t distance = c.number(2);
        if (distance < 0) return -1;
        const int64_t length = lz4_length(c, token & 15);
        if (length < 0 || !c.match(distance, length + 4)) return -1;
    }
}

int64_t emu_snappy(uint64_t in, int64_t in_bytes, uint64_t out, int64_t capacity) {
    Cursor c = {(const uint8_t*)in, in_bytes, 0, (uint8_t*)out, capacity, 0};
    int64_t expected = 0;
    for (int shift = 0;; shift += 7) {
        const int64_t byte = c.number(1);
        if (byte < 0 || shift > 28) return -1;
        expected |= (byte & 127) << shift;
        if (!(byte & 128)) break;
    }
    if (expected > capacity) return -1;
    while (c.at < c.size) {
        const int64_t tag = c.number(1);
        const int kind = (int)(tag & 3);
        bool good;
        if (kind == 0) {
            int64_t length = tag >> 2;
            if (length >= 60) length = c.number((int)length - 59);
            good = length >= 0 && c.literals(length + 1);
        } else if (kind == 1) {
            const int64_t low = c.number(1);
            good = low >= 0 && c.match((tag >> 5) << 8 | low, (tag >> 2 & 7) + 4);
        } else {
            const int64_t distance = c.number(kind == 2 ? 2 : 4);
            good = distance >= 0 && c.match(distance, (tag >> 2) + 1);
        }
        if (!good) return -1;
    }
    return c.made == expected ? c.made : -1;
}
}
