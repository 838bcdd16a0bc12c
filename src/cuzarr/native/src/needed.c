/* Bytes of a chunk that a row of a plan touches. */
#include "native.h"

/* total += count * stride; 0 where that does not fit */
static int add_product(int64_t *total, int64_t count, int64_t stride) {
    int64_t product;
    return !__builtin_mul_overflow(count, stride, &product) &&
           !__builtin_add_overflow(*total, product, total);
}

int row_span(const CopyRows *job, int64_t i, int64_t nbytes, int64_t *lo, int64_t *hi) {
    const int64_t *start = job->start + i * job->axes, *count = job->count + i * job->axes;
    for (int a = 0; a < job->axes; a++)
        if (count[a] <= 0) return SPAN_EMPTY;
    *lo = 0;
    *hi = job->itemsize;
    for (int a = 0; a < job->axes; a++) {
        int64_t least = start[a], most = start[a], stride = job->chunk_strides[a];
        if (job->index[a]) {
            const int64_t *index = job->index[a] + start[a];
            least = most = index[0];
            for (int64_t e = 1; e < count[a]; e++) {
                if (index[e] < least) least = index[e];
                if (index[e] > most) most = index[e];
            }
        } else {
            int64_t *end = job->step[a] < 0 ? &least : &most;
            if (!add_product(end, count[a] - 1, job->step[a])) return SPAN_OUTSIDE;
        }
        if (!add_product(lo, stride < 0 ? most : least, stride) ||
            !add_product(hi, stride < 0 ? least : most, stride))
            return SPAN_OUTSIDE;
    }
    return *lo >= 0 && *hi <= nbytes ? SPAN_INSIDE : SPAN_OUTSIDE;
}

int64_t row_items(const CopyRows *job, int64_t i) {
    int64_t items = 1;
    for (int a = 0; a < job->axes; a++) items *= job->count[i * job->axes + a];
    return items;
}

/* The pieces of one line that begins at these offsets; what `visit` returned. */
static int line_pieces(const CopyRows *job, const Line *line, int64_t chunk, uint8_t *array,
                       int64_t gap, PieceVisitor visit, void *to) {
    int64_t step = line->chunk_step < 0 ? -line->chunk_step : line->chunk_step;
    if (!line->index && (step <= gap || step == job->itemsize)) {
        int64_t last = chunk + (line->count - 1) * line->chunk_step;
        int same = line->chunk_step == job->itemsize && line->array_step == job->itemsize;
        return last < chunk ? visit(to, last, chunk + job->itemsize, NULL)
                            : visit(to, chunk, last + job->itemsize, same ? array : NULL);
    }
    for (int64_t e = 0; e < line->count; e++) {
        int64_t at = chunk + line_in_chunk(line, e);
        if (visit(to, at, at + job->itemsize, NULL)) return 1;
    }
    return 0;
}

void row_pieces(const CopyRows *job, int64_t i, int64_t gap, PieceVisitor visit, void *to) {
    Line lines[MAX_AXES + 1];
    int64_t chunk, array, at[MAX_AXES] = {0};
    int used = row_lines(job, i, lines, &chunk, &array);
    if (used < 0) return;
    int loops = used - 1;
    for (int a = 0; a < loops; a++) {
        chunk += line_in_chunk(&lines[a], 0);
        array += line_in_array(&lines[a], 0);
    }
    do {
        if (line_pieces(job, &lines[loops], chunk, job->array + array, gap, visit, to)) return;
    } while (next_line(lines, loops, at, &chunk, &array));
}
