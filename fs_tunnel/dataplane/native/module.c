/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The Python module: _native.pyi says what each function takes and returns. */
#include "module.h"

#include "coalesce.h"

static bool cut(PyObject *packets, uint8_t *frame, size_t length)
{
    struct cutter cutter;
    uint8_t *packet;
    uint32_t packet_length;
    if (!cutter_begin_untrusted(&cutter, frame, length)) {
        PyErr_SetString(PyExc_ValueError, "the frame's header contradicts its packet");
        return false;
    }
    while (cutter_next(&cutter, &packet, &packet_length))
        if (!list_append_bytes(packets, packet, packet_length))
            return false;
    return true;
}

static PyObject *module_segment(PyObject *module, PyObject *frame)
{
    (void)module;
    Py_buffer view;
    if (PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *packets = PyList_New(0);
    uint8_t *bytes = PyMem_Malloc((size_t)view.len + 1);
    if (packets == NULL || bytes == NULL) {
        Py_CLEAR(packets);
        PyErr_NoMemory();
    } else {
        memcpy(bytes, view.buf, (size_t)view.len);
        if (!cut(packets, bytes, (size_t)view.len))
            Py_CLEAR(packets);
    }
    PyMem_Free(bytes);
    PyBuffer_Release(&view);
    return packets;
}

static void append_frame(void *context, const struct iovec *pieces, int count)
{
    if (!PyErr_Occurred())
        (void)list_append_pieces(context, pieces, count);
}

/* A copy of a bytes object, for PyMem_Free; NULL with a Python exception. */
static uint8_t *copy_of(PyObject *packet, size_t *length)
{
    struct bytes bytes;
    if (!read_bytes(packet, &bytes))
        return NULL;
    uint8_t *copy = PyMem_Malloc(bytes.length + 1);
    if (copy == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(copy, bytes.at, bytes.length);
    *length = bytes.length;
    return copy;
}

/* Adds all packets, and keeps their copies in `copies`: the coalescer changes the bytes and needs
 * them until it is flushed.  False with a Python exception. */
static bool join(struct coalescer *coalescer, PyObject *packets, uint8_t **copies)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(packets); i++) {
        size_t length;
        struct inner inner;
        copies[i] = copy_of(PyList_GET_ITEM(packets, i), &length);
        if (copies[i] == NULL)
            return false;
        if (!inner_parse_untrusted(copies[i], length, &inner)) {
            PyErr_SetString(PyExc_ValueError, "no IP packet");
            return false;
        }
        coalescer_add(coalescer, copies[i], &inner);
    }
    coalescer_flush(coalescer);
    return !PyErr_Occurred();
}

static PyObject *module_coalesce(PyObject *module, PyObject *argument)
{
    (void)module;
    PyObject *packets = PySequence_List(argument), *frames = PyList_New(0);
    if (packets == NULL || frames == NULL) {
        Py_XDECREF(packets);
        Py_XDECREF(frames);
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(packets);
    uint8_t **copies = PyMem_Calloc((size_t)count + 1, sizeof(*copies));
    struct coalescer coalescer;
    coalescer_init(&coalescer, append_frame, frames);
    coalescer.udp_allowed = true;
    if (copies == NULL) {
        Py_CLEAR(frames);
        PyErr_NoMemory();
    } else if (!join(&coalescer, packets, copies)) {
        Py_CLEAR(frames);
    }
    for (Py_ssize_t i = 0; copies != NULL && i < count; i++)
        PyMem_Free(copies[i]);
    PyMem_Free(copies);
    Py_DECREF(packets);
    return frames;
}

static PyMethodDef functions[] = {
    {"segment", module_segment, METH_O, NULL},
    {"coalesce", module_coalesce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    if (PyModule_AddStringConstant(module, "AEAD", aead_name()) < 0 ||
        PyType_Ready(&PathType) < 0 ||
        PyModule_AddObjectRef(module, "Path", (PyObject *)&PathType) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
