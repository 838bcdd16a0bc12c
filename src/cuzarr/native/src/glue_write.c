/* write_wave: what becomes of the chunks of an array. */
#include "glue.h"

/* write_wave(root, keys, offsets, temporary, codec, crc32c, nbytes, shape, parameters, rows,
 *            write_empty, threads, statuses)
 * parameters: (level, checksum) of zstd, (level, shuffle, typesize, blocksize, name) of Blosc */
PyObject *py_write_wave(PyObject *self, PyObject *args) {
    PyObject *o[3], *parameters, *tuple, *result = NULL;
    WriteWave job = {.typesize = 1};
    Buffers buffers = {.count = 0};
    Rows rows;
    Py_ssize_t root_size, keys_size, temporary_size;
    long long nbytes, typesize = 1, blocksize = 0;
    int inside;
    (void)self;
    begin_rows(&rows);
    if (!PyArg_ParseTuple(args, "y#y#Oy#ipLOO!O!piO", &job.root, &root_size, &job.keys, &keys_size,
                          &o[0], &job.temporary, &temporary_size, &job.codec, &job.checked,
                          &nbytes, &o[1], &PyTuple_Type, &parameters, &PyTuple_Type, &tuple,
                          &job.write_empty, &job.threads, &o[2]))
        return NULL;
    if (memchr(job.root, 0, (size_t)root_size)) return fail("root: contains a NUL byte");
    if (memchr(job.temporary, 0, (size_t)temporary_size) || strchr(job.temporary, '/'))
        return fail("temporary: expected the beginning of a name");
    if (nbytes < 0 || nbytes > INT64_MAX / 2) return fail("nbytes: out of range");
    if (job.codec == CODEC_BLOSC) {
        if (!PyArg_ParseTuple(parameters, "iiLLs", &job.level, &job.shuffle, &typesize, &blocksize,
                              &job.compressor))
            return NULL;
    } else if (job.codec == CODEC_ZSTD) {
        if (!PyArg_ParseTuple(parameters, "ip", &job.level, &job.content_checksum)) return NULL;
    } else if (job.codec != CODEC_RAW) {
        return fail("codec: unknown");
    }
    if ((job.codec == CODEC_ZSTD && !codecs.zstd_encode) ||
        (job.codec == CODEC_BLOSC && !codecs.blosc_encode))
        return fail("codec: not available here");
    if (typesize < 1 || typesize > 255 || blocksize < 0 || job.shuffle < 0 || job.shuffle > 2)
        return fail("typesize, blocksize, shuffle: out of range");
    Py_ssize_t n = PyObject_Size(o[2]);
    if (n < 0 || !take_rows(&rows, n, tuple)) goto done;
    if (!(job.offsets = column(&buffers, o[0], "offsets", 'q', n + 1, 0)) ||
        !(job.shape = column(&buffers, o[1], "shape", 'q', rows.rows.axes, 0)) ||
        !(job.statuses = column(&buffers, o[2], "statuses", 'i', n, 1)))
        goto done;
    if (!ascending(job.offsets, n, keys_size)) goto done;
    job.copy = rows.rows;
    job.n = n;
    job.nbytes = nbytes;
    job.typesize = typesize;
    job.blocksize = blocksize;
    job.interrupted = glue_interrupted;
    Py_BEGIN_ALLOW_THREADS
    inside = write_wave(&job);
    Py_END_ALLOW_THREADS
    if (!PyErr_Occurred()) result = inside ? Py_NewRef(Py_None) : fail("rows: outside the chunk");
done:
    release_rows(&rows);
    release(&buffers);
    return result;
}
