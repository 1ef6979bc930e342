/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Methods of `Path` about the interface and the packet threads. */
#include "module_path.h"

PyObject *Path_set_up(const struct call *call)
{
    bool up;
    if (!read_flag(call->given[0], &up))
        return NULL;
    atomic_store(&call->self->path.up, up);
    Py_RETURN_NONE;
}

PyObject *Path_set_mtu(const struct call *call)
{
    uint32_t mtu;
    if (!read_word(call->given[0], &mtu))
        return NULL;
    atomic_store(&call->self->path.mtu, mtu);
    Py_RETURN_NONE;
}

static void stop_threads(Path *self)
{
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < self->pump_count; i++)
        pump_stop(self->pumps[i]);
    Py_END_ALLOW_THREADS;
    self->pump_count = 0;
}

/* Starts one more thread, for a tuple of three file descriptors; false with a Python exception. */
static bool start_thread(Path *self, PyObject *descriptors)
{
    struct pump_files files;
    if (!PyTuple_Check(descriptors)) {
        PyErr_SetString(PyExc_TypeError, "the files of a thread are a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(descriptors, "iii", &files.tun, &files.udp_v4, &files.udp_v6))
        return false;
    struct pump *pump = pump_start(&self->path, &self->findings, self->pump_count, files);
    if (pump == NULL) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    self->pumps[self->pump_count++] = pump;
    return true;
}

PyObject *Path_start(const struct call *call)
{
    Path *self = call->self;
    PyObject *list = call->given[0];
    bool udp_frames;
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "the files of the threads are a list");
        return NULL;
    }
    if (!read_flag(call->given[1], &udp_frames))
        return NULL;
    if (self->pump_count > 0 || PyList_GET_SIZE(list) > CONTROL_READER) {
        PyErr_SetString(PyExc_ValueError, "the threads run already, or there are too many");
        return NULL;
    }
    atomic_store(&self->path.udp_frames, udp_frames);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        if (!start_thread(self, PyList_GET_ITEM(list, i))) {
            stop_threads(self);
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyObject *Path_stop(const struct call *call)
{
    stop_threads(call->self);
    Py_RETURN_NONE;
}

PyObject *Path_sends_refused_whole(const struct call *call)
{
    return PyLong_FromUnsignedLongLong(load_count(&call->self->findings.sends_refused_whole));
}
