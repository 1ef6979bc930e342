/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "module_path.h"

/* Making and freeing. */

static void Path_dealloc(Path *self)
{
    for (int i = 0; i < self->pump_count; i++)
        pump_stop(self->pumps[i]);
    if (self->ready) {
        worker_free(&self->worker);
        path_free(&self->path);
    }
    Py_XDECREF(self->datagrams);
    Py_XDECREF(self->frames);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* False with a Python exception; then nothing is left to free but the object itself. */
static bool fill(Path *self, double clock_scale)
{
    self->datagrams = PyList_New(0);
    self->frames = PyList_New(0);
    if (self->datagrams == NULL || self->frames == NULL)
        return false;
    if (!path_init(&self->path)) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    self->path.clock_scale = clock_scale;
    if (!worker_init(&self->worker, &self->path, CONTROL_READER)) {
        path_free(&self->path);
        PyErr_NoMemory();
        return false;
    }
    self->ready = true;
    path_keep_packets(self);
    return true;
}

static PyObject *Path_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"clock_scale", NULL};
    double clock_scale;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "d", names, &clock_scale))
        return NULL;
    Path *self = (Path *)type->tp_alloc(type, 0);
    if (self != NULL && !fill(self, clock_scale))
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* Calling methods. */

struct row {
    const char *name;
    PyObject *(*method)(const struct call *call);
    enum subject subject;
    Py_ssize_t arguments; /* without the peer's number */
};

static PyObject *call_row(const struct row *row, PyObject *self, PyObject *const *given,
                          Py_ssize_t count)
{
    struct call call = {.self = (Path *)self, .given = given};
    Py_ssize_t wanted = row->arguments + (row->subject == PEER);
    if (count != wanted)
        return PyErr_Format(PyExc_TypeError, "Path.%s() takes %zd arguments, but %zd were given",
                            row->name, wanted, count);
    if (row->subject == PEER && !read_peer(*call.given++, &call.self->path, &call.peer))
        return NULL;
    return row->method(&call);
}

/* Python calls a C function without saying under which name: each row needs one of its own. */
#define DEFINE_ENTRY(name, subject, arguments)                                             \
    static PyObject *enter_##name(PyObject *self, PyObject *const *given, Py_ssize_t count) \
    {                                                                                      \
        static const struct row row = {#name, Path_##name, subject, arguments};            \
        return call_row(&row, self, given, count);                                         \
    }
PATH_METHODS(DEFINE_ENTRY)

#define TABLE_ENTRY(name, subject, arguments) \
    {#name, (PyCFunction)(void (*)(void))enter_##name, METH_FASTCALL, NULL},
static PyMethodDef methods[] = {PATH_METHODS(TABLE_ENTRY){NULL, NULL, 0, NULL}};

PyTypeObject PathType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "fs_tunnel.dataplane._native.Path",
    .tp_basicsize = sizeof(Path),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Path_new,
    .tp_dealloc = (destructor)Path_dealloc,
    .tp_methods = methods,
};
