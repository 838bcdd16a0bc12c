/* copy_rows and read_wave; the columns of a plan's rows. */
#include "glue.h"

void begin_rows(Rows *rows) {
    rows->listed = rows->buffers.count = 0;
    memset(&rows->rows, 0, sizeof rows->rows);
}

void release_rows(Rows *rows) {
    while (rows->listed) release(&rows->lists[--rows->listed]);
    release(&rows->buffers);
}

/* One entry of `lists`: None or (index, out_index); the rows must stay inside both. */
static int list_axis(Buffers *buffers, PyObject *entry, CopyRows *job, int a) {
    job->index[a] = job->out_index[a] = NULL;
    if (entry == Py_None) return 1;
    if (!PyTuple_Check(entry) || PyTuple_Size(entry) != 2) {
        fail("lists: expected None or (index, out_index) per axis");
        return 0;
    }
    Py_ssize_t length = PyObject_Size(PyTuple_GetItem(entry, 0));
    if (length < 0) return 0;
    if (buffers->count + 2 > MAX_BUFFERS) return 0;
    job->index[a] = column(buffers, PyTuple_GetItem(entry, 0), "index", 'q', length, 0);
    if (!job->index[a]) return 0;
    job->out_index[a] = column(buffers, PyTuple_GetItem(entry, 1), "out_index", 'q', length, 0);
    if (!job->out_index[a]) return 0;
    for (int64_t i = 0; i < job->n; i++) {
        int64_t start = job->start[i * job->axes + a], count = job->count[i * job->axes + a];
        if (count > 0 && (start < 0 || start > length || count > length - start)) {
            fail("lists: a row reaches outside");
            return 0;
        }
    }
    return 1;
}

int take_rows(Rows *rows, Py_ssize_t n, PyObject *args) {
    PyObject *o[7];
    unsigned long long array;
    const char *fill;
    Py_ssize_t itemsize, fill_size;
    CopyRows *job = &rows->rows;
    Buffers *buffers = &rows->buffers;
    if (!PyArg_ParseTuple(args, "OOOOO!OKOniy#", &o[0], &o[1], &o[2], &o[3], &PyTuple_Type, &o[4],
                          &o[5], &array, &o[6], &itemsize, &job->swap_unit, &fill, &fill_size))
        return 0;
    Py_ssize_t axes = PyObject_Size(o[3]);
    const char *problem = NULL;
    if (n < 0 || axes < 0) return 0;
    if (axes > MAX_AXES) problem = "step: more than 64 axes";
    else if (PyTuple_Size(o[4]) != axes) problem = "lists: expected one entry per axis";
    else if (itemsize < 1 || fill_size != itemsize) problem = "fill: expected itemsize bytes";
    else if (job->swap_unit && ((job->swap_unit != 2 && job->swap_unit != 4 &&
                                 job->swap_unit != 8) || itemsize % job->swap_unit))
        problem = "swap_unit: expected 0, 2, 4 or 8, a divisor of itemsize";
    if (problem) {
        fail(problem);
        return 0;
    }
    job->n = n;
    job->axes = (int)axes;
    job->array = (uint8_t *)(uintptr_t)array;
    job->itemsize = itemsize;
    job->fill = (const uint8_t *)fill;
    if (!(job->start = column(buffers, o[0], "start", 'q', n * axes, 0)) ||
        !(job->count = column(buffers, o[1], "count", 'q', n * axes, 0)) ||
        !(job->out = column(buffers, o[2], "out", 'q', n * axes, 0)) ||
        !(job->step = column(buffers, o[3], "step", 'q', axes, 0)) ||
        !(job->chunk_strides = column(buffers, o[5], "chunk_strides", 'q', axes, 0)) ||
        !(job->array_strides = column(buffers, o[6], "array_strides", 'q', axes, 0)))
        return 0;
    while (rows->listed < axes) {
        int a = rows->listed++;
        rows->lists[a].count = 0;
        if (!list_axis(&rows->lists[a], PyTuple_GetItem(o[4], a), job, a)) return 0;
    }
    return 1;
}

/* copy_rows(scatter, chunk_ptrs, rows): rows as in take_rows */
PyObject *py_copy_rows(PyObject *self, PyObject *args) {
    PyObject *ptrs, *tuple, *result = NULL;
    Rows rows;
    (void)self;
    begin_rows(&rows);
    if (!PyArg_ParseTuple(args, "pOO!", &rows.rows.scatter, &ptrs, &PyTuple_Type, &tuple))
        return NULL;
    Py_ssize_t n = PyObject_Size(ptrs);
    if (!take_rows(&rows, n, tuple)) goto done;
    rows.rows.chunk_ptrs = column(&rows.buffers, ptrs, "chunk_ptrs", 'Q', n, 0);
    if (!rows.rows.chunk_ptrs) goto done;
    Py_BEGIN_ALLOW_THREADS
    copy_rows(&rows.rows);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release_rows(&rows);
    return result;
}

/* The chunks of a wave: (root, keys, offsets, starts, lengths) or (ptrs, sizes). */
static int take_source(Buffers *buffers, ReadWave *job, Py_ssize_t n, PyObject *source) {
    PyObject *o[3];
    if (PyTuple_Size(source) == 2) {
        if (!PyArg_ParseTuple(source, "OO", &o[0], &o[1])) return 0;
        job->ptrs = column(buffers, o[0], "ptrs", 'Q', n, 0);
        if (!job->ptrs) return 0;
        job->sizes = column(buffers, o[1], "sizes", 'q', n, 0);
        if (!job->sizes) return 0;
        for (Py_ssize_t i = 0; i < n; i++) {
            if (job->ptrs[i] && job->sizes[i] < 0) {
                fail("sizes: negative");
                return 0;
            }
        }
        return 1;
    }
    const char *root, *keys;
    Py_ssize_t root_size, keys_size;
    return PyArg_ParseTuple(source, "y#y#OOO", &root, &root_size, &keys, &keys_size, &o[0], &o[1],
                            &o[2]) &&
           take_ranges(buffers, &job->files, n, root, root_size, keys, keys_size, o[0], o[1], o[2]);
}

/* The rows of each of n chunks; their number, or -1 with an exception. */
static Py_ssize_t take_first(Buffers *buffers, ReadWave *job, Py_ssize_t n, PyObject *first) {
    if (first == Py_None) return n;
    job->first = column(buffers, first, "first", 'q', n + 1, 0);
    if (!job->first) return -1;
    int ascending = job->first[0] == 0;
    for (Py_ssize_t i = 0; i < n; i++) ascending &= job->first[i] <= job->first[i + 1];
    if (ascending) return (Py_ssize_t)job->first[n];
    fail("first: expected ascending rows from 0");
    return -1;
}

int glue_interrupted(void) {
    PyGILState_STATE state = PyGILState_Ensure();
    int raised = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return raised;
}

/* read_wave(source, present, codec, crc32c, nbytes, limit, shape, rows, first, threads, statuses)
 */
PyObject *py_read_wave(PyObject *self, PyObject *args) {
    PyObject *source, *tuple, *o[4], *result = NULL;
    long long nbytes, limit;
    ReadWave job = {.ptrs = NULL};
    Buffers buffers = {.count = 0};
    Rows rows;
    (void)self;
    begin_rows(&rows);
    if (!PyArg_ParseTuple(args, "O!OipLLOO!OiO", &PyTuple_Type, &source, &o[0], &job.codec,
                          &job.checked, &nbytes, &limit, &o[1], &PyTuple_Type, &tuple, &o[3],
                          &job.threads, &o[2]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[2]);
    if (nbytes < 0 || limit < 0) return fail("nbytes, limit: negative");
    if (job.codec < CODEC_RAW || job.codec > CODEC_LZ4) return fail("codec: unknown");
    if (n < 0) return NULL;
    Py_ssize_t count = take_first(&buffers, &job, n, o[3]);
    if (count < 0 || !take_rows(&rows, count, tuple) || !take_source(&buffers, &job, n, source))
        goto done;
    job.present = column(&buffers, o[0], "present", '?', n, 0);
    job.statuses = column(&buffers, o[2], "statuses", 'i', n, 1);
    if (!job.present || !job.statuses) goto done;
    if (o[1] != Py_None) {
        job.shape = column(&buffers, o[1], "shape", 'q', rows.rows.axes, 0);
        if (!job.shape) goto done;
    }
    rows.rows.scatter = 1;
    job.copy = rows.rows;
    job.n = n;
    job.nbytes = nbytes;
    job.limit = limit;
    job.interrupted = glue_interrupted;
    int inside;
    Py_BEGIN_ALLOW_THREADS
    inside = read_wave(&job);
    Py_END_ALLOW_THREADS
    if (!PyErr_Occurred()) result = inside ? Py_NewRef(Py_None) : fail("rows: outside the chunk");
done:
    release_rows(&rows);
    release(&buffers);
    return result;
}
