/* Values that lie in memory: where they are, and copies of many of them.
 *
 * 1. Keys are looked up in a dict, or values are taken from a list; the address of each is that of
 *    its buffer. A list of owners keeps the memory alive and, where it could move, in its place.
 * 2. A copy is cut into pieces of equal size, so that one large value has many threads too.
 */
#include "glue.h"

#include <stdatomic.h>

#define PIECE (1 << 18)
#define NO_BUFFER (-1) /* of the statuses: the caller asks again, and says what is wrong */

/* Address and size of a value; a new reference to what keeps it, NULL where it has no buffer. */
static PyObject *owner_of(PyObject *value, uint64_t *address, int64_t *size) {
    Py_buffer view;
    PyObject *owner = value;
    if (PyBytes_CheckExact(value)) {
        char *data;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(value, &data, &length)) return NULL;
        *address = (uint64_t)(uintptr_t)data;
        *size = length;
        return Py_NewRef(value);
    }
    owner = PyMemoryView_FromObject(value); /* holds the buffer where it is */
    if (!owner) return NULL;
    if (PyObject_GetBuffer(owner, &view, PyBUF_C_CONTIGUOUS)) {
        Py_DECREF(owner);
        return NULL;
    }
    *address = view.buf ? (uint64_t)(uintptr_t)view.buf : 1; /* 0 means missing */
    *size = view.len;
    PyBuffer_Release(&view);
    return owner;
}

/* A status other than NO_BUFFER; owner (borrowed from the list) is kept as entry `i`. */
static int32_t place_value(PyObject *owners, Py_ssize_t i, PyObject *value, int64_t start,
                           int64_t length, uint64_t *address, int64_t *size) {
    OpenFile whole = {.status = READ_OK};
    int64_t first;
    PyObject *owner = owner_of(value, address, &whole.size);
    if (!owner) {
        PyErr_Clear();
        return NO_BUFFER;
    }
    PyList_SetItem(owners, i, owner);
    if (!file_range(&whole, start, length, &first, size)) {
        *address = 0;
        *size = -1;
        return READ_SHORT;
    }
    *address += (uint64_t)first;
    return READ_OK;
}

/* find_values(mapping, keys, offsets, starts, lengths, pointers, sizes, statuses) -> owners */
PyObject *py_find_values(PyObject *self, PyObject *args) {
    PyObject *mapping, *o[6], *owners = NULL, *result = NULL, *value = NULL;
    const char *keys;
    Py_ssize_t keys_size;
    FileRanges ranges;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy#OOOOOO", &mapping, &keys, &keys_size, &o[0], &o[1], &o[2],
                          &o[3], &o[4], &o[5]))
        return NULL;
    if (!PyDict_CheckExact(mapping)) {
        PyErr_SetString(PyExc_TypeError, "mapping: expected a dict");
        return NULL;
    }
    Py_ssize_t n = PyObject_Size(o[1]);
    if (n < 0 || !take_ranges(&buffers, &ranges, n, "", 0, keys, keys_size, o[0], o[1], o[2]))
        goto done;
    COLUMN(uint64_t, pointers, o[3], 'Q', n, 1);
    COLUMN(int64_t, sizes, o[4], 'q', n, 1);
    COLUMN(int32_t, statuses, o[5], 'i', n, 1);
    if (!(owners = PyList_New(n))) goto done;
    for (Py_ssize_t i = 0; i < n; i++) {
        pointers[i] = 0;
        sizes[i] = -1;
        if (i == 0 || !file_same_key(&ranges, i - 1, i)) {
            PyObject *key = PyUnicode_DecodeUTF8(
                keys + ranges.offsets[i], (Py_ssize_t)(ranges.offsets[i + 1] - ranges.offsets[i]),
                NULL);
            if (!key) goto done;
            Py_XDECREF(value);
            value = PyDict_GetItemWithError(mapping, key);
            Py_XINCREF(value); /* another thread may replace it */
            Py_DECREF(key);
            if (!value && PyErr_Occurred()) goto done;
        }
        statuses[i] = READ_MISSING;
        if (value)
            statuses[i] = place_value(owners, i, value, ranges.starts[i], ranges.lengths[i],
                                      pointers + i, sizes + i);
        if (!value || statuses[i] == NO_BUFFER) PyList_SetItem(owners, i, Py_NewRef(Py_None));
    }
    result = Py_NewRef(owners);
done:
    Py_XDECREF(value);
    Py_XDECREF(owners);
    release(&buffers);
    return result;
}

/* value_addresses(values, pointers, sizes, statuses) -> owners; None is missing */
PyObject *py_value_addresses(PyObject *self, PyObject *args) {
    PyObject *values, *o[3], *owners = NULL, *result = NULL;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOO", &values, &o[0], &o[1], &o[2])) return NULL;
    if (!PyList_Check(values)) {
        PyErr_SetString(PyExc_TypeError, "values: expected a list");
        return NULL;
    }
    Py_ssize_t n = PyList_Size(values);
    COLUMN(uint64_t, pointers, o[0], 'Q', n, 1);
    COLUMN(int64_t, sizes, o[1], 'q', n, 1);
    COLUMN(int32_t, statuses, o[2], 'i', n, 1);
    if (!(owners = PyList_New(n))) goto done;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *value = PyList_GetItem(values, i);
        if (!value) goto done;
        pointers[i] = 0;
        sizes[i] = -1;
        statuses[i] = READ_MISSING;
        if (value != Py_None) {
            Py_INCREF(value);
            statuses[i] = place_value(owners, i, value, 0, -1, pointers + i, sizes + i);
            Py_DECREF(value);
        }
        if (statuses[i] != READ_OK) PyList_SetItem(owners, i, Py_NewRef(Py_None));
    }
    result = Py_NewRef(owners);
done:
    Py_XDECREF(owners);
    release(&buffers);
    return result;
}

typedef struct {
    const uint64_t *pointers;
    const int64_t *sizes, *positions;
    int64_t *pieces; /* exclusive prefix sum, n + 1 */
    Py_ssize_t n;
    uint8_t *slab;
    _Atomic int64_t next;
} CopyValues;

static void *copy_pieces(void *argument) {
    CopyValues *job = argument;
    int64_t total = job->pieces[job->n];
    const int64_t run = 4; /* pieces taken at a time */
    for (;;) {
        int64_t piece = atomic_fetch_add(&job->next, run);
        int64_t last = piece + run < total ? piece + run : total;
        if (piece >= total) return NULL;
        Py_ssize_t low = 0, high = job->n; /* pieces[low] <= piece < pieces[high] */
        while (high - low > 1) {
            Py_ssize_t middle = low + (high - low) / 2;
            if (job->pieces[middle] <= piece) low = middle;
            else high = middle;
        }
        for (Py_ssize_t i = low; piece < last; piece++) {
            while (job->pieces[i + 1] <= piece) i++;
            int64_t at = (piece - job->pieces[i]) * PIECE;
            int64_t size = job->sizes[i] - at < PIECE ? job->sizes[i] - at : PIECE;
            memcpy(job->slab + job->positions[i] + at,
                   (const uint8_t *)(uintptr_t)job->pointers[i] + at, (size_t)size);
        }
    }
}

/* copy_values(pointers, sizes, positions, slab, threads) */
PyObject *py_copy_values(PyObject *self, PyObject *args) {
    PyObject *o[4], *result = NULL;
    int threads;
    CopyValues job = {.pieces = NULL};
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOi", &o[0], &o[1], &o[2], &o[3], &threads)) return NULL;
    Py_ssize_t n = job.n = PyObject_Size(o[1]);
    if (n < 0) return NULL;
    COLUMN(const uint64_t, pointers, o[0], 'Q', n, 0);
    COLUMN(const int64_t, sizes, o[1], 'q', n, 0);
    COLUMN(const int64_t, positions, o[2], 'q', n, 0);
    const Py_buffer *slab = take(&buffers, o[3], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    if (!slab) goto done;
    if (!(job.pieces = PyMem_Malloc((size_t)(n + 1) * sizeof *job.pieces))) {
        PyErr_NoMemory();
        goto done;
    }
    job.pieces[0] = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t size = pointers[i] ? sizes[i] : 0;
        if (size > 0 && (positions[i] < 0 || size > slab->len || positions[i] > slab->len - size)) {
            fail("positions: outside the slab");
            goto done;
        }
        job.pieces[i + 1] = job.pieces[i] + (size > 0 ? (size + PIECE - 1) / PIECE : 0);
    }
    job.pointers = pointers;
    job.sizes = sizes;
    job.positions = positions;
    job.slab = slab->buf;
    int64_t most = (job.pieces[n] + 3) / 4;
    Py_BEGIN_ALLOW_THREADS
    if (most > 0) run_threads(threads < most ? threads : (int)most, copy_pieces, &job);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    PyMem_Free(job.pieces);
    release(&buffers);
    return result;
}
