/* Arguments of the module's functions: buffers, columns, errors. */
#ifndef CUZARR_GLUE_H
#define CUZARR_GLUE_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "native.h"

#define MAX_BUFFERS 16

/* Buffers of one call, released together. */
typedef struct {
    Py_buffer views[MAX_BUFFERS];
    int count;
} Buffers;

static inline void release(Buffers *buffers) {
    while (buffers->count) PyBuffer_Release(&buffers->views[--buffers->count]);
}

static inline const Py_buffer *take(Buffers *buffers, PyObject *object, int flags) {
    Py_buffer *view = &buffers->views[buffers->count];
    if (PyObject_GetBuffer(object, view, flags)) return NULL;
    buffers->count++;
    return view;
}

/* A C-contiguous column of `length` items; kind 'q' int64, 'Q' uint64, 'i' int32, '?' bool. */
static inline void *column(Buffers *buffers, PyObject *object, const char *name, char kind,
                    Py_ssize_t length, int writable) {
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    const Py_buffer *view = take(buffers, object, flags);
    if (!view) return NULL;
    const char *format = view->format ? view->format : "B";
    if (*format == '@' || *format == '=' || *format == '<') format++;
    Py_ssize_t itemsize = kind == '?' ? 1 : kind == 'i' ? 4 : 8;
    const char *accepted = kind == 'Q' ? "QL" : kind == 'q' ? "ql" : kind == 'i' ? "il" : "?";
    if (view->itemsize != itemsize || !strchr(accepted, *format) || !*format || format[1]) {
        PyErr_Format(PyExc_TypeError, "%s: expected items of type %s", name,
                     kind == 'Q' ? "uint64" : kind == 'q' ? "int64" : kind == 'i' ? "int32" : "bool");
        return NULL;
    }
    if (view->len != length * itemsize) {
        PyErr_Format(PyExc_ValueError, "%s: expected %zd items, found %zd", name, length,
                     view->len / itemsize);
        return NULL;
    }
    return view->buf ? view->buf : (void *)"";
}

#define COLUMN(type, name, object, kind, length, writable)                                        \
    type *name = column(&buffers, object, #name, kind, length, writable);                         \
    if (!name) goto done

static inline PyObject *fail(const char *message) {
    PyErr_SetString(PyExc_ValueError, message);
    return NULL;
}

/* Columns of a FileRanges; 0 with an exception when they do not fit together. */
int take_ranges(Buffers *buffers, FileRanges *ranges, Py_ssize_t n, const char *root,
                Py_ssize_t root_size, const char *keys, Py_ssize_t keys_size, PyObject *offsets,
                PyObject *starts, PyObject *lengths);

/* Whether offsets of n keys ascend and stay inside; else 0 with an exception. */
int ascending(const int64_t *offsets, Py_ssize_t n, Py_ssize_t keys_size);

/* glue_copy.c */
/* A CopyRows with the buffers that it points into. */
typedef struct {
    CopyRows rows;
    Buffers buffers, lists[MAX_AXES];
    int listed;
} Rows;

void begin_rows(Rows *rows);
void release_rows(Rows *rows);
/* The arguments (start, count, out, step, lists, chunk_strides, array_ptr, array_strides, itemsize,
 * swap_unit, fill); 0 with an exception when they do not fit together. */
int take_rows(Rows *rows, Py_ssize_t n, PyObject *args);
/* Run the handlers of signals that have come: 1 when one of them has raised. */
int glue_interrupted(void);
PyObject *py_copy_rows(PyObject *self, PyObject *args);
PyObject *py_read_wave(PyObject *self, PyObject *args);

/* glue_write.c */
PyObject *py_write_wave(PyObject *self, PyObject *args);

/* values.c */
PyObject *py_find_values(PyObject *self, PyObject *args);
PyObject *py_value_addresses(PyObject *self, PyObject *args);
PyObject *py_copy_values(PyObject *self, PyObject *args);

#endif
