/* The module: arguments to plain columns, GIL released around the work.
 *
 * Functions take their output columns as arguments; cuzarr.native.calls allocates them. Types,
 * lengths and everything that could make the work leave its buffers are checked here.
 */
#include "glue.h"

int ascending(const int64_t *offsets, Py_ssize_t n, Py_ssize_t keys_size) {
    int good = offsets[0] >= 0 && offsets[n] <= keys_size;
    if (!good) fail("offsets: outside the keys");
    for (Py_ssize_t i = 0; good && i < n; i++) {
        good = offsets[i] <= offsets[i + 1];
        if (!good) fail("offsets: not ascending");
    }
    return good;
}

int take_ranges(Buffers *buffers, FileRanges *ranges, Py_ssize_t n, const char *root,
                Py_ssize_t root_size, const char *keys, Py_ssize_t keys_size, PyObject *offsets,
                PyObject *starts, PyObject *lengths) {
    if (memchr(root, 0, (size_t)root_size)) {
        fail("root: contains a NUL byte");
        return 0;
    }
    ranges->root = root;
    ranges->keys = keys;
    if (!(ranges->offsets = column(buffers, offsets, "offsets", 'q', n + 1, 0)) ||
        !(ranges->starts = column(buffers, starts, "starts", 'q', n, 0)) ||
        !(ranges->lengths = column(buffers, lengths, "lengths", 'q', n, 0)))
        return 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (ranges->lengths[i] < -1) {
            fail("lengths: less than -1");
            return 0;
        }
    }
    return ascending(ranges->offsets, n, keys_size);
}

/* read_files(root, keys, offsets, starts, lengths, slab, threads, positions, sizes, statuses) */
static PyObject *py_read_files(PyObject *self, PyObject *args) {
    PyObject *o[8], *result = NULL;
    const char *root, *keys;
    Py_ssize_t root_size, keys_size;
    int threads;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y#y#OOOOiOOO", &root, &root_size, &keys, &keys_size, &o[0], &o[1],
                          &o[2], &o[3], &threads, &o[4], &o[5], &o[6]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[1]);
    ReadFiles job = {.n = n, .threads = threads};
    if (n < 0 || !take_ranges(&buffers, &job.files, n, root, root_size, keys, keys_size, o[0], o[1],
                              o[2]))
        goto done;
    const Py_buffer *slab = take(&buffers, o[3], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    if (!slab) goto done;
    COLUMN(int64_t, positions, o[4], 'q', n, 1);
    COLUMN(int64_t, sizes, o[5], 'q', n, 1);
    COLUMN(int32_t, statuses, o[6], 'i', n, 1);
    job.slab = slab->buf;
    job.slab_size = slab->len;
    job.positions = positions;
    job.sizes = sizes;
    job.statuses = statuses;
    int64_t used;
    Py_BEGIN_ALLOW_THREADS
    used = read_files(&job);
    Py_END_ALLOW_THREADS
    result = PyLong_FromLongLong(used);
done:
    release(&buffers);
    return result;
}

/* format_keys(prefix, coords, n, d, is_default, separator, suffix, offsets) -> bytes */
static PyObject *py_format_keys(PyObject *self, PyObject *args) {
    PyObject *o[2], *result = NULL;
    Py_ssize_t n, d, prefix_size, suffix_size;
    KeyFormat format = {0};
    int separator;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y#Onniiy#O", &format.prefix, &prefix_size, &o[0], &n, &d,
                          &format.is_default, &separator, &format.suffix, &suffix_size, &o[1]))
        return NULL;
    if (n < 0 || d < 0 || d > MAX_AXES) return fail("coords: not (n, d) with d of at most 64");
    COLUMN(const int64_t, coords, o[0], 'q', n * d, 0);
    COLUMN(int64_t, offsets, o[1], 'q', n + 1, 1);
    for (Py_ssize_t i = 0; i < n * d; i++) {
        if (coords[i] < 0) {
            fail("coords: negative");
            goto done;
        }
    }
    format.prefix_size = prefix_size;
    format.suffix_size = suffix_size;
    format.coords = coords;
    format.n = n;
    format.d = d;
    format.separator = (char)separator;
    int64_t total = keys_measure(&format, offsets);
    if (total < 0) {
        fail("keys: too long");
        goto done;
    }
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    if (result) keys_write(&format, PyBytes_AsString(result));
done:
    release(&buffers);
    return result;
}

/* set_codecs(lz4, lz4_partial, zstd_create, zstd_free, zstd, zstd_begin, zstd_step, zstd_continue,
 *            blosclz, zlib, zstd_encoder, zstd_encoder_free, zstd_encoder_size, zstd_set,
 *            zstd_bound, zstd_encode, blosc_encode): addresses, 0 = none */
static PyObject *py_set_codecs(PyObject *self, PyObject *args) {
    unsigned long long a[17] = {0};
    void *addresses[17];
    Codecs found = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "KKKKKKKKKK|KKKKKKK", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5],
                          &a[6], &a[7], &a[8], &a[9], &a[10], &a[11], &a[12], &a[13], &a[14],
                          &a[15], &a[16]))
        return NULL;
    for (int i = 0; i < 17; i++) addresses[i] = (void *)(uintptr_t)a[i];
    /* the one portable spelling of "these bits are a function" */
    memcpy(&found.lz4, &addresses[0], sizeof(void *));
    memcpy(&found.lz4_partial, &addresses[1], sizeof(void *));
    memcpy(&found.zstd_create, &addresses[2], sizeof(void *));
    memcpy(&found.zstd_free, &addresses[3], sizeof(void *));
    memcpy(&found.zstd, &addresses[4], sizeof(void *));
    memcpy(&found.zstd_begin, &addresses[5], sizeof(void *));
    memcpy(&found.zstd_step, &addresses[6], sizeof(void *));
    memcpy(&found.zstd_continue, &addresses[7], sizeof(void *));
    memcpy(&found.blosclz, &addresses[8], sizeof(void *));
    memcpy(&found.zlib, &addresses[9], sizeof(void *));
    memcpy(&found.zstd_encoder, &addresses[10], sizeof(void *));
    memcpy(&found.zstd_encoder_free, &addresses[11], sizeof(void *));
    memcpy(&found.zstd_encoder_size, &addresses[12], sizeof(void *));
    memcpy(&found.zstd_set, &addresses[13], sizeof(void *));
    memcpy(&found.zstd_bound, &addresses[14], sizeof(void *));
    memcpy(&found.zstd_encode, &addresses[15], sizeof(void *));
    memcpy(&found.blosc_encode, &addresses[16], sizeof(void *));
    codecs_set(&found);
    Py_RETURN_NONE;
}

/* decode_batch(codec, crc32c, src_ptrs, src_sizes, dst_ptrs, dst_size, lo, hi, statuses) */
static PyObject *py_decode_batch(PyObject *self, PyObject *args) {
    PyObject *o[6], *result = NULL;
    const int64_t *lo = NULL, *hi = NULL;
    const char *problem = NULL;
    int codec, checked;
    long long size;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "ipOOOLOOO", &codec, &checked, &o[0], &o[1], &o[2], &size, &o[3],
                          &o[4], &o[5]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[0]);
    if (n < 0) return NULL;
    if (size < 0) return fail("dst_size: negative");
    if (codec < CODEC_RAW || codec > CODEC_LZ4) return fail("codec: unknown");
    if ((o[3] == Py_None) != (o[4] == Py_None)) return fail("lo, hi: expected both or none");
    COLUMN(const uint64_t, src_ptrs, o[0], 'Q', n, 0);
    COLUMN(const int64_t, src_sizes, o[1], 'q', n, 0);
    COLUMN(const uint64_t, dst_ptrs, o[2], 'Q', n, 0);
    COLUMN(int32_t, statuses, o[5], 'i', n, 1);
    if (o[3] != Py_None) {
        if (!(lo = column(&buffers, o[3], "lo", 'q', n, 0))) goto done;
        if (!(hi = column(&buffers, o[4], "hi", 'q', n, 0))) goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (src_ptrs[i] && (src_sizes[i] < 0 || (size && !dst_ptrs[i])))
            problem = "src_sizes, dst_ptrs: negative size or null destination";
        if (lo && (lo[i] < 0 || lo[i] > hi[i] || hi[i] > size))
            problem = "lo, hi: outside the decoded chunk";
    }
    if (problem) {
        fail(problem);
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    decode_batch(codec, checked, src_ptrs, src_sizes, dst_ptrs, size, lo, hi, n, statuses);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&buffers);
    return result;
}

/* Addresses and sizes of encoded chunks; sizes must not be negative. */
static int sources_fit(const uint64_t *ptrs, const int64_t *sizes, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        if (ptrs[i] && sizes[i] < 0) {
            fail("sizes: negative");
            return 0;
        }
    }
    return 1;
}

/* blosc_count(ptrs, sizes, nbytes, statuses, counts, format, shuffle, memcpyed, typesize,
 *             blocksize) */
static PyObject *py_blosc_count(PyObject *self, PyObject *args) {
    PyObject *o[9], *result = NULL;
    long long nbytes;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOLOOOOOOO", &o[0], &o[1], &nbytes, &o[2], &o[3], &o[4], &o[5],
                          &o[6], &o[7], &o[8]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[0]);
    if (n < 0) return NULL;
    COLUMN(const uint64_t, ptrs, o[0], 'Q', n, 0);
    COLUMN(const int64_t, sizes, o[1], 'q', n, 0);
    COLUMN(int32_t, statuses, o[2], 'i', n, 1);
    COLUMN(int64_t, counts, o[3], 'q', n, 1);
    COLUMN(int32_t, format, o[4], 'i', n, 1);
    COLUMN(int32_t, shuffle, o[5], 'i', n, 1);
    COLUMN(uint8_t, memcpyed, o[6], '?', n, 1);
    COLUMN(int64_t, typesize, o[7], 'q', n, 1);
    COLUMN(int64_t, blocksize, o[8], 'q', n, 1);
    if (!sources_fit(ptrs, sizes, n)) goto done;
    BloscColumns columns = {statuses, counts, format, shuffle, memcpyed, typesize, blocksize};
    Py_BEGIN_ALLOW_THREADS
    blosc_count(ptrs, sizes, n, nbytes, &columns);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&buffers);
    return result;
}

/* blosc_fill(ptrs, sizes, first, chunk, source, source_size, destination, destination_size, raw) */
static PyObject *py_blosc_fill(PyObject *self, PyObject *args) {
    PyObject *o[9], *result = NULL;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7],
                          &o[8]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[0]), rows = n < 0 ? -1 : PyObject_Size(o[3]);
    if (rows < 0) return NULL;
    COLUMN(const uint64_t, ptrs, o[0], 'Q', n, 0);
    COLUMN(const int64_t, sizes, o[1], 'q', n, 0);
    COLUMN(const int64_t, first, o[2], 'q', n + 1, 0);
    COLUMN(int64_t, chunk, o[3], 'q', rows, 1);
    COLUMN(int64_t, source, o[4], 'q', rows, 1);
    COLUMN(int64_t, source_size, o[5], 'q', rows, 1);
    COLUMN(int64_t, destination, o[6], 'q', rows, 1);
    COLUMN(int64_t, destination_size, o[7], 'q', rows, 1);
    COLUMN(uint8_t, raw, o[8], '?', rows, 1);
    if (!sources_fit(ptrs, sizes, n)) goto done;
    int ascending = first[0] == 0 && first[n] == rows;
    for (Py_ssize_t i = 0; i < n; i++) ascending &= first[i] <= first[i + 1];
    if (!ascending) {
        fail("first: not ascending from 0 to the number of streams");
        goto done;
    }
    StreamColumns columns = {chunk, source, source_size, destination, destination_size, raw};
    int same;
    Py_BEGIN_ALLOW_THREADS
    same = blosc_fill(ptrs, sizes, n, first, &columns);
    Py_END_ALLOW_THREADS
    if (same)
        result = Py_NewRef(Py_None);
    else
        fail("the chunks changed while they were parsed");
done:
    release(&buffers);
    return result;
}

/* zstd_frames(ptrs, sizes, statuses, frames, skippable, checksums, content_size, window_size,
 *             dictionary) */
static PyObject *py_zstd_frames(PyObject *self, PyObject *args) {
    PyObject *o[9], *result = NULL;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7],
                          &o[8]))
        return NULL;
    Py_ssize_t n = PyObject_Size(o[0]);
    if (n < 0) return NULL;
    COLUMN(const uint64_t, ptrs, o[0], 'Q', n, 0);
    COLUMN(const int64_t, sizes, o[1], 'q', n, 0);
    COLUMN(int32_t, statuses, o[2], 'i', n, 1);
    COLUMN(int64_t, frames, o[3], 'q', n, 1);
    COLUMN(int64_t, skippable, o[4], 'q', n, 1);
    COLUMN(int64_t, checksums, o[5], 'q', n, 1);
    COLUMN(int64_t, content_size, o[6], 'q', n, 1);
    COLUMN(int64_t, window_size, o[7], 'q', n, 1);
    COLUMN(int64_t, dictionary, o[8], 'q', n, 1);
    if (!sources_fit(ptrs, sizes, n)) goto done;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < n; i++) {
        ZstdInfo info = {0};
        if (ptrs[i]) zstd_scan((const uint8_t *)(uintptr_t)ptrs[i], sizes[i], &info);
        statuses[i] = info.status;
        frames[i] = info.frames;
        skippable[i] = info.skippable;
        checksums[i] = info.checksums;
        content_size[i] = info.content_size;
        window_size[i] = info.window_size;
        dictionary[i] = info.dictionary;
    }
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    release(&buffers);
    return result;
}

/* zstd_compress(data, level, checksum) -> bytes, or None where it could not be done */
static PyObject *py_zstd_compress(PyObject *self, PyObject *args) {
    PyObject *object, *result = NULL;
    int level, checked;
    size_t size = 0;
    const uint8_t *encoded;
    Buffers buffers = {.count = 0};
    (void)self;
    if (!PyArg_ParseTuple(args, "Oip", &object, &level, &checked)) return NULL;
    const Py_buffer *view = take(&buffers, object, PyBUF_C_CONTIGUOUS);
    if (!view) return NULL;
    Py_BEGIN_ALLOW_THREADS
    encoded = zstd_encode_kept(view->buf, (size_t)view->len, level, checked, &size);
    Py_END_ALLOW_THREADS
    if (!encoded) {
        result = Py_NewRef(Py_None);
    } else if ((result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size))) {
        char *copy = PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS /* new memory is slow to touch */
        memcpy(copy, encoded, size);
        Py_END_ALLOW_THREADS
    }
    zstd_encoded_end();
    release(&buffers);
    return result;
}

/* crc32c(data) -> int */
static PyObject *py_crc32c(PyObject *self, PyObject *object) {
    Buffers buffers = {.count = 0};
    uint32_t crc;
    (void)self;
    const Py_buffer *view = take(&buffers, object, PyBUF_C_CONTIGUOUS);
    if (!view) return NULL;
    Py_BEGIN_ALLOW_THREADS
    crc = crc32c(view->buf, (size_t)view->len);
    Py_END_ALLOW_THREADS
    release(&buffers);
    return PyLong_FromUnsignedLong(crc);
}

static PyMethodDef methods[] = {
    {"read_files", py_read_files, METH_VARARGS, NULL},
    {"format_keys", py_format_keys, METH_VARARGS, NULL},
    {"copy_rows", py_copy_rows, METH_VARARGS, NULL},
    {"read_wave", py_read_wave, METH_VARARGS, NULL},
    {"write_wave", py_write_wave, METH_VARARGS, NULL},
    {"set_codecs", py_set_codecs, METH_VARARGS, NULL},
    {"decode_batch", py_decode_batch, METH_VARARGS, NULL},
    {"blosc_count", py_blosc_count, METH_VARARGS, NULL},
    {"blosc_fill", py_blosc_fill, METH_VARARGS, NULL},
    {"zstd_frames", py_zstd_frames, METH_VARARGS, NULL},
    {"zstd_compress", py_zstd_compress, METH_VARARGS, NULL},
    {"crc32c", py_crc32c, METH_O, NULL},
    {"find_values", py_find_values, METH_VARARGS, NULL},
    {"value_addresses", py_value_addresses, METH_VARARGS, NULL},
    {"copy_values", py_copy_values, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) {
    crc32c_init();
    return PyModule_Create(&module);
}
