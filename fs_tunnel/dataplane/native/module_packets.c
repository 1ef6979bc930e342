/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Methods of `Path` that handle packets on Python's own thread.  Some send packets of the control
 * plane.  The others do for tests what the packet threads do. */
#include "module_path.h"

#include <stdlib.h>

/* The output of the worker. */

static PyObject *write_run(const struct worker *worker, const struct run *run)
{
    PyObject *endpoint = write_endpoint(&run->endpoint);
    if (endpoint == NULL)
        return NULL;
    return Py_BuildValue("KNIy#", (unsigned long long)run->peer->number, endpoint,
                         (unsigned int)run->segment, (const char *)worker->out + run->offset,
                         (Py_ssize_t)run->length);
}

/* The first failure leaves its exception for the method that runs the worker; the rest is lost. */
static void keep_runs(struct worker *worker)
{
    PyObject *datagrams = ((Path *)worker->context)->datagrams;
    for (int i = 0; i < worker->run_count && !PyErr_Occurred(); i++)
        (void)list_append(datagrams, write_run(worker, &worker->runs[i]));
    worker->run_count = 0;
    worker->out_used = 0;
}

static void keep_frame(void *context, const struct iovec *pieces, int count)
{
    if (!PyErr_Occurred())
        (void)list_append_pieces(((Path *)context)->frames, pieces, count);
}

void path_keep_packets(Path *self)
{
    self->worker.send_runs = keep_runs;
    self->worker.context = self;
    coalescer_init(&self->worker.coalescer, keep_frame, self);
    self->worker.coalescer.udp_allowed = true;
}

static PyObject *take_list(PyObject **list)
{
    PyObject *fresh = PyList_New(0), *taken = *list;
    if (fresh == NULL)
        return NULL;
    *list = fresh;
    return taken;
}

PyObject *Path_take_datagrams(const struct call *call)
{
    return take_list(&call->self->datagrams);
}

PyObject *Path_take_frames(const struct call *call)
{
    return take_list(&call->self->frames);
}

/* Packets of the control plane. */

/* Bytes of at most `most`; `refusal` is the text of the ValueError for more. */
static bool read_at_most(PyObject *value, size_t most, const char *refusal, struct bytes *bytes)
{
    if (!read_bytes(value, bytes))
        return false;
    if (bytes->length > most)
        PyErr_SetString(PyExc_ValueError, refusal);
    return bytes->length <= most;
}

PyObject *Path_seal(const struct call *call)
{
    struct worker *worker = &call->self->worker;
    struct bytes packet;
    if (!read_at_most(call->given[0], MAX_PACKET, "a packet has at most 65535 bytes", &packet) ||
        !read_seconds(call->given[1], &worker->now))
        return NULL;
    size_t size =
        outbound_seal(worker, call->peer, packet.at, (uint32_t)packet.length, worker->out);
    if (size == 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)worker->out, (Py_ssize_t)size);
}

PyObject *Path_not_sent(const struct call *call)
{
    uint64_t number, length;
    if (!read_count(call->given[0], &number) || !read_count(call->given[1], &length))
        return NULL;
    struct peer *peer = path_peer(&call->self->path, number);
    if (peer != NULL) { /* it may have been removed since */
        atomic_fetch_sub(&peer->tx_bytes, length);
        atomic_fetch_sub(&peer->tx_packets, 1);
    }
    Py_RETURN_NONE;
}

/* For tests: the work of the packet threads. */

PyObject *Path_receive_frame(const struct call *call)
{
    struct worker *worker = &call->self->worker;
    struct bytes frame;
    if (!read_at_most(call->given[0], MAX_FRAME, "a frame has at most 65545 bytes", &frame) ||
        !read_seconds(call->given[1], &worker->now))
        return NULL;
    memcpy(worker->frame, frame.at, frame.length);
    outbound_frame_untrusted(worker, worker->frame, frame.length);
    keep_runs(worker);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

PyObject *Path_receive_datagrams(const struct call *call)
{
    struct worker *worker = &call->self->worker;
    struct bytes data;
    uint32_t segment;
    struct endpoint from;
    if (!read_bytes(call->given[0], &data) || !read_word(call->given[1], &segment) ||
        !read_endpoint(call->given[2], &from) || !read_seconds(call->given[3], &worker->now))
        return NULL;
    /* A copy that is no longer than the data, so that a sanitizer sees a read beyond its end. */
    uint8_t *bytes = malloc(data.length + (data.length == 0));
    if (bytes == NULL)
        return PyErr_NoMemory();
    memcpy(bytes, data.at, data.length);
    inbound_datagrams_untrusted(worker, bytes, data.length, segment == 0 ? MAX_FRAME : segment,
                                &from);
    coalescer_flush(&worker->coalescer);
    free(bytes);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}
