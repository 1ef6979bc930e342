/* The Python module: fs_tunnel/dataplane/_native.pyi says what each function takes and gives. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

static PyObject *module_segment(PyObject *module, PyObject *frame)
{
    (void)module;
    Py_buffer view;
    if (PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *packets = PyList_New(0);
    uint8_t *bytes = PyMem_Malloc((size_t)view.len + 1);
    struct cutter cutter;
    uint8_t *packet;
    uint32_t length;
    if (packets == NULL || bytes == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(bytes, view.buf, (size_t)view.len);
        if (!cutter_begin_untrusted(&cutter, bytes, (size_t)view.len))
            PyErr_SetString(PyExc_ValueError, "the frame's header contradicts its packet");
        while (!PyErr_Occurred() && cutter_next(&cutter, &packet, &length))
            list_append_bytes(packets, packet, length);
    }
    PyMem_Free(bytes);
    PyBuffer_Release(&view);
    if (PyErr_Occurred())
        Py_CLEAR(packets);
    return packets;
}

static void append_frame(void *context, const struct iovec *pieces, int count)
{
    list_append_pieces(context, pieces, count);
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
    /* The packets are changed, and must all stay until the end. */
    Py_ssize_t count = PyList_GET_SIZE(packets);
    uint8_t **copies = PyMem_Calloc((size_t)count + 1, sizeof(*copies));
    struct coalescer coalescer;
    coalescer_init(&coalescer, append_frame, frames);
    coalescer.udp_allowed = true;
    if (copies == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++) {
        char *bytes;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(packets, i), &bytes, &length) < 0)
            break;
        copies[i] = PyMem_Malloc((size_t)length + 1);
        if (copies[i] == NULL) {
            PyErr_NoMemory();
            break;
        }
        memcpy(copies[i], bytes, (size_t)length);
        struct inner inner;
        if (inner_parse_untrusted(copies[i], (size_t)length, &inner))
            coalescer_add(&coalescer, copies[i], &inner);
        else
            PyErr_SetString(PyExc_ValueError, "no IP packet");
    }
    if (!PyErr_Occurred())
        coalescer_flush(&coalescer);
    for (Py_ssize_t i = 0; copies != NULL && i < count; i++)
        PyMem_Free(copies[i]);
    PyMem_Free(copies);
    Py_DECREF(packets);
    if (PyErr_Occurred())
        Py_CLEAR(frames);
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
