/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Methods of `Path` that report events and drops. */
#include "module_path.h"

#include <stdlib.h>

PyObject *Path_fileno(const struct call *call)
{
    return PyLong_FromLong(call->self->path.events.fd);
}

/* The tuple RawEvent of _native.pyi; NULL with a Python exception. */
static PyObject *write_event(const struct event *event)
{
    PyObject *endpoint = write_endpoint(&event->endpoint);
    if (endpoint == NULL)
        return NULL;
    return Py_BuildValue("iKIy#N", (int)event->kind, (unsigned long long)event->peer,
                         (unsigned int)event->index, (const char *)event->data,
                         (Py_ssize_t)event->length, endpoint);
}

/* From here on, the peer's next move is worth an event again. */
static void taken(const struct path *path, const struct event *event)
{
    struct peer *peer = event->kind == ENDPOINT_MOVED ? path_peer(path, event->peer) : NULL;
    if (peer != NULL)
        atomic_store(&peer->moved, false);
}

PyObject *Path_take_events(const struct call *call)
{
    struct path *path = &call->self->path;
    uint32_t handshakes;
    if (!read_word(call->given[0], &handshakes))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list == NULL)
        return NULL;
    bool whole = true;
    struct event *event = events_take(&path->events, handshakes);
    while (event != NULL) {
        struct event *next = event->next;
        taken(path, event);
        whole = whole && list_append(list, write_event(event));
        free(event);
        event = next;
    }
    epoch_reclaim(&path->epochs);
    if (!whole)
        Py_CLEAR(list);
    return list;
}

static const char *const drop_names[] = {
#define DROP_NAME(reason) #reason,
    DROP_REASONS(DROP_NAME)
#undef DROP_NAME
};

PyObject *Path_drops(const struct call *call)
{
    PyObject *drops = PyDict_New();
    for (int i = 0; drops != NULL && i < DROP_REASON_COUNT; i++) {
        uint64_t count = load_count(&call->self->path.drops.count[i]);
        if (count == 0)
            continue;
        PyObject *value = PyLong_FromUnsignedLongLong(count);
        if (value == NULL || PyDict_SetItemString(drops, drop_names[i], value) < 0)
            Py_CLEAR(drops);
        Py_XDECREF(value);
    }
    return drops;
}
