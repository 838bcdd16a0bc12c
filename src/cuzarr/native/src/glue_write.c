/* write_wave: what becomes of the chunks of an array. */
#include "glue.h"

/* Rows of `start`, the first of the rows' columns; -1 with an exception. */
static int64_t row_count(PyObject *rows) {
    PyObject *start = PyTuple_GetItem(rows, 0);
    return start ? PyObject_Size(start) : -1;
}

/* Shards: (first, slot, slots, crc32c, at_end), or None; 0 with an exception. */
static int take_shards(Buffers *buffers, WriteWave *job, PyObject *object) {
    PyObject *o[2];
    long long slots;
    if (object == Py_None) {
        job->files = job->n;
        return 1;
    }
    if (!PyTuple_Check(object)) {
        fail("shards: expected a tuple or None");
        return 0;
    }
    if (!PyArg_ParseTuple(object, "OOLpp", &o[0], &o[1], &slots, &job->index_checked,
                          &job->index_at_end))
        return 0;
    job->files = PyObject_Size(o[0]) - 1;
    job->slots = slots;
    if (job->files < 0 || slots < 0 || slots > INT64_MAX / 64) {
        if (!PyErr_Occurred()) fail("first, slots: out of range");
        return 0;
    }
    if (!(job->first = column(buffers, o[0], "first", 'q', job->files + 1, 0)) ||
        !(job->slot = column(buffers, o[1], "slot", 'q', job->n, 0)))
        return 0;
    int good = job->first[0] == 0 && job->first[job->files] == job->n;
    for (int64_t f = 0; good && f < job->files; f++) {
        good = job->first[f] <= job->first[f + 1];
        for (int64_t i = job->first[f]; good && i < job->first[f + 1]; i++)
            good = i < job->n && job->slot[i] < slots &&
                   job->slot[i] > (i > job->first[f] ? job->slot[i - 1] : -1);
    }
    if (!good) fail("first, slot: not ascending, or out of range");
    return good;
}

/* write_wave(root, keys, offsets, temporary, codec, crc32c, nbytes, shape, parameters, rows,
 *            write_empty, threads, shards, statuses)
 * parameters: (level, checksum) of zstd, (level, shuffle, typesize, blocksize, name, threads) of
 * Blosc */
PyObject *py_write_wave(PyObject *self, PyObject *args) {
    PyObject *o[3], *shards, *parameters, *tuple, *result = NULL;
    WriteWave job = {.typesize = 1, .inside = 1};
    Buffers buffers = {.count = 0};
    Rows rows;
    Py_ssize_t root_size, keys_size, temporary_size;
    long long nbytes, typesize = 1, blocksize = 0;
    int inside;
    (void)self;
    begin_rows(&rows);
    if (!PyArg_ParseTuple(args, "y#y#Oy#ipLOO!O!piOO", &job.root, &root_size, &job.keys, &keys_size,
                          &o[0], &job.temporary, &temporary_size, &job.codec, &job.checked,
                          &nbytes, &o[1], &PyTuple_Type, &parameters, &PyTuple_Type, &tuple,
                          &job.write_empty, &job.threads, &shards, &o[2]))
        return NULL;
    if (memchr(job.root, 0, (size_t)root_size)) return fail("root: contains a NUL byte");
    if (memchr(job.temporary, 0, (size_t)temporary_size) || strchr(job.temporary, '/'))
        return fail("temporary: expected the beginning of a name");
    if (nbytes < 0 || nbytes > INT64_MAX / 2) return fail("nbytes: out of range");
    if (job.codec == CODEC_BLOSC) {
        if (!PyArg_ParseTuple(parameters, "iiLLsi", &job.level, &job.shuffle, &typesize, &blocksize,
                              &job.compressor, &job.inside))
            return NULL;
    } else if (job.codec == CODEC_ZSTD) {
        if (!PyArg_ParseTuple(parameters, "ip", &job.level, &job.content_checksum)) return NULL;
    } else if (job.codec != CODEC_RAW) {
        return fail("codec: unknown");
    }
    if ((job.codec == CODEC_ZSTD && !codecs.zstd_encode) ||
        (job.codec == CODEC_BLOSC && !codecs.blosc_encode))
        return fail("codec: not available here");
    if (job.threads < 1 || job.inside < 1) return fail("threads: less than 1");
    if (typesize < 1 || typesize > 255 || blocksize < 0 || job.shuffle < 0 || job.shuffle > 2)
        return fail("typesize, blocksize, shuffle: out of range");
    job.n = row_count(tuple);
    if (job.n < 0 || !take_rows(&rows, (Py_ssize_t)job.n, tuple)) goto done;
    job.copy = rows.rows;
    if (!take_shards(&buffers, &job, shards)) goto done;
    if (!(job.offsets = column(&buffers, o[0], "offsets", 'q', job.files + 1, 0)) ||
        !(job.shape = column(&buffers, o[1], "shape", 'q', job.copy.axes, 0)) ||
        !(job.statuses = column(&buffers, o[2], "statuses", 'i', job.files, 1)))
        goto done;
    if (!ascending(job.offsets, (Py_ssize_t)job.files, keys_size)) goto done;
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
