/* Strided copies between chunks and the output: PlanRows of cuzarr.plan.chunk_plan.
 *
 * 1. Each row is reduced: axes of one element become offsets, the axis with the smallest stride on
 *    the side written becomes the innermost, neighbouring affine axes that are contiguous on both sides
 *    become one.
 * 2. What is left of the outer axes is an odometer; the innermost axis is one call of a line
 *    routine, chosen once per batch: memcpy, a strided loop, a loop over lists, or a fill. A
 *    transpose goes in strips over its two axes.
 */
#include "native.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

/* Elements of a strip: its source lines (64 bytes each) fill a part of the first-level cache, and
 * are few enough for its ways where they lie a power of two apart. */
#define STRIP 16

typedef struct {
    uint8_t bytes[16];
} Item16;

#define SWAP2(x) __builtin_bswap16(x)
#define SWAP4(x) __builtin_bswap32(x)
#define SWAP8(x) __builtin_bswap64(x)
#define SAME(x) (x)
/* Complex numbers: the bytes of each half are reversed, the halves stay in place. */
static inline uint64_t swap4_pair(uint64_t x) {
    x = __builtin_bswap64(x);
    return x >> 32 | x << 32;
}
static inline Item16 swap8_pair(Item16 x) {
    uint64_t half[2];
    memcpy(half, &x, 16);
    half[0] = SWAP8(half[0]);
    half[1] = SWAP8(half[1]);
    memcpy(&x, half, 16);
    return x;
}
static inline uint32_t swap2_pair(uint32_t x) {
    x = __builtin_bswap32(x);
    return x >> 16 | x << 16;
}

/* Memory may be unaligned (slabs, odd strides), hence memcpy of a constant size. */
#define LINE_ROUTINE(name, type, change)                                                          \
    static void name(const Line *line, const uint8_t *src, uint8_t *dst, int scatter) {           \
        int64_t s = scatter ? line->chunk_step : line->array_step;                                \
        int64_t d = scatter ? line->array_step : line->chunk_step;                                \
        type item;                                                                                \
        if (line->index) {                                                                        \
            const int64_t *from = scatter ? line->index : line->out_index;                        \
            const int64_t *to = scatter ? line->out_index : line->index;                          \
            s = scatter ? line->chunk_stride : line->array_stride;                                \
            d = scatter ? line->array_stride : line->chunk_stride;                                \
            for (int64_t i = 0; i < line->count; i++) {                                           \
                memcpy(&item, src + from[i] * s, sizeof(type));                                   \
                item = change(item);                                                              \
                memcpy(dst + to[i] * d, &item, sizeof(type));                                     \
            }                                                                                     \
        } else if (s == (int64_t)sizeof(type) && d == (int64_t)sizeof(type)) {                    \
            for (int64_t i = 0; i < line->count; i++) {                                           \
                memcpy(&item, src + i * (int64_t)sizeof(type), sizeof(type));                     \
                item = change(item);                                                              \
                memcpy(dst + i * (int64_t)sizeof(type), &item, sizeof(type));                     \
            }                                                                                     \
        } else {                                                                                  \
            for (int64_t i = 0; i < line->count; i++, src += s, dst += d) {                       \
                memcpy(&item, src, sizeof(type));                                                 \
                item = change(item);                                                              \
                memcpy(dst, &item, sizeof(type));                                                 \
            }                                                                                     \
        }                                                                                         \
    }

LINE_ROUTINE(line1, uint8_t, SAME)
LINE_ROUTINE(line2, uint16_t, SAME)
LINE_ROUTINE(line4, uint32_t, SAME)
LINE_ROUTINE(line8, uint64_t, SAME)
LINE_ROUTINE(line16, Item16, SAME)
LINE_ROUTINE(line2_swap2, uint16_t, SWAP2)
LINE_ROUTINE(line4_swap2, uint32_t, swap2_pair)
LINE_ROUTINE(line4_swap4, uint32_t, SWAP4)
LINE_ROUTINE(line8_swap4, uint64_t, swap4_pair)
LINE_ROUTINE(line8_swap8, uint64_t, SWAP8)
LINE_ROUTINE(line16_swap8, Item16, swap8_pair)

typedef void (*LineRoutine)(const Line *, const uint8_t *, uint8_t *, int);

static LineRoutine line_routine(int64_t itemsize, int swap_unit) {
    switch (itemsize * 16 + swap_unit) {
    case 1 * 16: return line1;
    case 2 * 16: return line2;
    case 4 * 16: return line4;
    case 8 * 16: return line8;
    case 16 * 16: return line16;
    case 2 * 16 + 2: return line2_swap2;
    case 4 * 16 + 2: return line4_swap2;
    case 4 * 16 + 4: return line4_swap4;
    case 8 * 16 + 4: return line8_swap4;
    case 8 * 16 + 8: return line8_swap8;
    case 16 * 16 + 8: return line16_swap8;
    default: return NULL;
    }
}

/* Contiguous on both sides: the units alone matter, so complex numbers are just more of them. */
static void swap_words(const uint8_t *src, uint8_t *dst, int64_t size, int unit) {
    Line line = {size / unit, unit, unit, NULL, NULL, 0, 0};
    line_routine(unit, unit)(&line, src, dst, 1);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void swap_avx2(const uint8_t *src, uint8_t *dst,
                                                      int64_t size, int unit) {
    static const uint8_t orders[3][16] = {
        {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14},
        {3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12},
        {7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8},
    };
    const uint8_t *order = orders[unit == 2 ? 0 : unit == 4 ? 1 : 2];
    __m256i mask = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)order));
    int64_t at = 0;
    for (; at + 32 <= size; at += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(src + at));
        _mm256_storeu_si256((__m256i *)(dst + at), _mm256_shuffle_epi8(x, mask));
    }
    swap_words(src + at, dst + at, size - at, unit);
}

static void swap_contiguous(const uint8_t *src, uint8_t *dst, int64_t size, int unit) {
    (__builtin_cpu_supports("avx2") ? swap_avx2 : swap_words)(src, dst, size, unit);
}
#else
#define swap_contiguous swap_words
#endif

static void copy_item(uint8_t *dst, const uint8_t *src, int64_t itemsize, int unit) {
    if (!unit) {
        memcpy(dst, src, (size_t)itemsize);
        return;
    }
    for (int64_t u = 0; u + unit <= itemsize; u += unit)
        for (int b = 0; b < unit; b++) dst[u + b] = src[u + unit - 1 - b];
}

static void line_any(const CopyRows *job, const Line *line, const uint8_t *src, uint8_t *dst) {
    for (int64_t i = 0; i < line->count; i++) {
        int64_t c = line->index ? line->index[i] * line->chunk_stride : i * line->chunk_step;
        int64_t a = line->index ? line->out_index[i] * line->array_stride : i * line->array_step;
        copy_item(dst + (job->scatter ? a : c), src + (job->scatter ? c : a), job->itemsize,
                  job->swap_unit);
    }
}

void fill_items(uint8_t *to, const uint8_t *item, size_t size, size_t total) {
    if (total < size) return;
    memcpy(to, item, size);
    for (size_t done = size; done < total; done *= 2)
        memcpy(to + done, to, done < total - done ? done : total - done);
}

static void line_fill(const CopyRows *job, const Line *line, uint8_t *dst) {
    size_t size = (size_t)job->itemsize;
    if (!line->index && line->array_step == job->itemsize) {
        fill_items(dst, job->fill, size, size * (size_t)line->count);
        return;
    }
    for (int64_t i = 0; i < line->count; i++)
        memcpy(dst + (line->index ? line->out_index[i] * line->array_stride : i * line->array_step),
               job->fill, size);
}

static int64_t stride(const CopyRows *job, const Line *line) {
    int64_t bytes = job->scatter ? line->array_stride : line->chunk_stride;
    return bytes < 0 ? -bytes : bytes;
}

int row_lines(const CopyRows *job, int64_t i, Line *lines, int64_t *chunk, int64_t *array) {
    const int64_t *start = job->start + i * job->axes, *count = job->count + i * job->axes;
    const int64_t *out = job->out + i * job->axes;
    int used = 0;
    *chunk = *array = 0;
    for (int a = 0; a < job->axes; a++) {
        Line line = {count[a], 0, 0, NULL, NULL, job->chunk_strides[a], job->array_strides[a]};
        if (count[a] <= 0) return -1;
        if (job->index[a]) {
            line.index = job->index[a] + start[a];
            line.out_index = job->out_index[a] + start[a];
            if (count[a] == 1) {
                *chunk += line.index[0] * line.chunk_stride;
                *array += line.out_index[0] * line.array_stride;
                continue;
            }
        } else {
            *chunk += start[a] * line.chunk_stride;
            *array += out[a] * line.array_stride;
            if (count[a] == 1) continue;
            line.chunk_step = job->step[a] * line.chunk_stride;
            line.array_step = line.array_stride;
        }
        /* Insertion by falling stride of the side written; the order of axes changes no result. */
        int at = used++;
        for (; at > 0 && stride(job, &lines[at - 1]) < stride(job, &line); at--)
            lines[at] = lines[at - 1];
        lines[at] = line;
    }
    int kept = 0;
    for (int a = 1; a < used; a++) {
        Line *outer = &lines[kept], *inner = &lines[a];
        if (!outer->index && !inner->index &&
            outer->chunk_step == inner->chunk_step * inner->count &&
            outer->array_step == inner->array_step * inner->count) {
            inner->count *= outer->count;
            *outer = *inner;
        } else {
            lines[++kept] = *inner;
        }
    }
    if (used) return kept + 1;
    lines[0] = (Line){1, job->itemsize, job->itemsize, NULL, NULL, 0, 0};
    return 1;
}

/* One line, between these places in the chunk (NULL = missing) and in the array. */
static void do_line(const CopyRows *job, LineRoutine routine, const Line *line, uint8_t *in_chunk,
                    uint8_t *in_array) {
    if (!in_chunk) {
        line_fill(job, line, in_array);
        return;
    }
    const uint8_t *src = job->scatter ? in_chunk : in_array;
    uint8_t *dst = job->scatter ? in_array : in_chunk;
    int contiguous = !line->index && line->chunk_step == job->itemsize &&
                     line->array_step == job->itemsize;
    if (contiguous && !job->swap_unit)
        memcpy(dst, src, (size_t)(line->count * job->itemsize));
    else if (contiguous)
        swap_contiguous(src, dst, line->count * job->itemsize, job->swap_unit);
    else if (routine)
        routine(line, src, dst, job->scatter);
    else
        line_any(job, line, src, dst);
}

/* Whether reading along `line` jumps while reading along `other` does not: a transpose. */
static int crosses(const CopyRows *job, const Line *other, const Line *line) {
    int64_t here = job->scatter ? line->chunk_step : line->array_step;
    int64_t there = job->scatter ? other->chunk_step : other->array_step;
    return !line->index && !other->index && here != job->itemsize && here != -job->itemsize &&
           (there == job->itemsize || there == -job->itemsize);
}

/* `outer` times a strip of STRIP items, which are contiguous where they are written. */
#define STRIP_ROUTINE(name, type)                                                                 \
    static void name(const uint8_t *src, uint8_t *dst, int64_t outer, int64_t src_outer,          \
                     int64_t src_inner, int64_t dst_outer) {                                      \
        for (int64_t o = 0; o < outer; o++, src += src_outer, dst += dst_outer)                   \
            for (int i = 0; i < STRIP; i++)                                                       \
                memcpy(dst + i * (int)sizeof(type), src + i * src_inner, sizeof(type));           \
    }

STRIP_ROUTINE(strip1, uint8_t)
STRIP_ROUTINE(strip2, uint16_t)
STRIP_ROUTINE(strip4, uint32_t)
STRIP_ROUTINE(strip8, uint64_t)
STRIP_ROUTINE(strip16, Item16)

typedef void (*StripRoutine)(const uint8_t *, uint8_t *, int64_t, int64_t, int64_t, int64_t);

static StripRoutine strip_routine(const CopyRows *job, const Line *inner) {
    int64_t written = job->scatter ? inner->array_step : inner->chunk_step;
    if (job->swap_unit || written != job->itemsize) return NULL;
    switch (job->itemsize) {
    case 1: return strip1;
    case 2: return strip2;
    case 4: return strip4;
    case 8: return strip8;
    case 16: return strip16;
    default: return NULL;
    }
}

/* The two innermost axes of a transpose, in strips whose source lines stay in the cache. */
static void do_strips(const CopyRows *job, LineRoutine routine, const Line *outer,
                      const Line *inner, uint8_t *in_chunk, uint8_t *in_array) {
    StripRoutine whole = strip_routine(job, inner);
    for (int64_t first = 0; first < inner->count; first += STRIP) {
        Line strip = *inner;
        strip.count = inner->count - first < STRIP ? inner->count - first : STRIP;
        uint8_t *c = in_chunk + first * inner->chunk_step, *a = in_array + first * inner->array_step;
        if (whole && strip.count == STRIP) {
            if (job->scatter)
                whole(c, a, outer->count, outer->chunk_step, inner->chunk_step, outer->array_step);
            else
                whole(a, c, outer->count, outer->array_step, inner->array_step, outer->chunk_step);
            continue;
        }
        for (int64_t o = 0; o < outer->count; o++, c += outer->chunk_step, a += outer->array_step)
            do_line(job, routine, &strip, c, a);
    }
}

void copy_row(const CopyRows *job, int64_t i, uint8_t *base) {
    LineRoutine routine = line_routine(job->itemsize, job->swap_unit);
    Line lines[MAX_AXES + 1];
    int64_t chunk, array, at[MAX_AXES] = {0};
    int used = row_lines(job, i, lines, &chunk, &array);
    if (used < 0 || (!base && !job->scatter)) return;
    const Line *inner = &lines[used - 1];
    int loops = used - 1; /* axes of the odometer */
    for (int a = 0; base && a < loops; a++) {
        if (!crosses(job, &lines[a], inner)) continue;
        Line across = lines[a];
        for (int b = a; b + 1 < loops; b++) lines[b] = lines[b + 1];
        lines[--loops] = across;
        break;
    }
    for (int a = 0; a < loops; a++) { /* a list need not begin at offset 0 */
        chunk += line_in_chunk(&lines[a], 0);
        array += line_in_array(&lines[a], 0);
    }
    do {
        uint8_t *in_chunk = base ? base + chunk : NULL, *in_array = job->array + array;
        if (loops < used - 1)
            do_strips(job, routine, &lines[loops], inner, in_chunk, in_array);
        else
            do_line(job, routine, inner, in_chunk, in_array);
    } while (next_line(lines, loops, at, &chunk, &array));
}

void copy_rows(const CopyRows *job) {
    for (int64_t i = 0; i < job->n; i++)
        copy_row(job, i, (uint8_t *)(uintptr_t)job->chunk_ptrs[i]);
}
