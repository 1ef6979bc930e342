/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Methods of `Path` about one peer: its endpoint, its limits, its counters, its timers' times. */
#include "module_path.h"

#include <stdlib.h>

PyObject *Path_add_peer(const struct call *call)
{
    struct peer *peer = path_add_peer(&call->self->path);
    return peer == NULL ? PyErr_NoMemory() : PyLong_FromUnsignedLongLong(peer->number);
}

PyObject *Path_remove_peer(const struct call *call)
{
    path_remove_peer(&call->self->path, call->peer);
    Py_RETURN_NONE;
}

/* The endpoint. */

PyObject *Path_endpoint(const struct call *call)
{
    lock_take(&call->peer->endpoint_lock);
    struct endpoint endpoint = call->peer->endpoint;
    lock_give(&call->peer->endpoint_lock);
    return write_endpoint(&endpoint);
}

PyObject *Path_set_endpoint(const struct call *call)
{
    struct endpoint endpoint;
    memset(&endpoint, 0, sizeof(endpoint));
    if (call->given[0] != Py_None && !read_endpoint(call->given[0], &endpoint))
        return NULL;
    lock_take(&call->peer->endpoint_lock);
    call->peer->endpoint = endpoint;
    lock_give(&call->peer->endpoint_lock);
    store_time(&call->peer->no_segmentation_until, 0);
    Py_RETURN_NONE;
}

PyObject *Path_forget_local(const struct call *call)
{
    lock_take(&call->peer->endpoint_lock);
    endpoint_forget_local(&call->peer->endpoint);
    lock_give(&call->peer->endpoint_lock);
    Py_RETURN_NONE;
}

/* Limits and counters. */

/* An address of no bytes stands for no exemption, which is NULL.  False with a Python exception. */
static bool read_exempt(PyObject *address, PyObject *port, struct exempt **exempt)
{
    struct bytes packed;
    uint16_t number;
    *exempt = NULL;
    if (!read_bytes(address, &packed))
        return false;
    if (packed.length == 0)
        return true;
    if (!read_address(address, &packed) || !read_port(port, &number))
        return false;
    *exempt = calloc(1, sizeof(**exempt));
    if (*exempt == NULL) {
        PyErr_NoMemory();
        return false;
    }
    (*exempt)->address_bytes = (uint32_t)packed.length;
    (*exempt)->port = number;
    memcpy((*exempt)->address, packed.at, packed.length);
    return true;
}

PyObject *Path_set_limits(const struct call *call)
{
    struct peer *peer = call->peer;
    uint64_t rx_rate, tx_rate, credit, credit_low;
    struct exempt *exempt;
    if (!read_count(call->given[0], &rx_rate) || !read_count(call->given[1], &tx_rate) ||
        !read_count(call->given[2], &credit) || !read_count(call->given[3], &credit_low) ||
        !read_exempt(call->given[4], call->given[5], &exempt))
        return NULL;
    path_set_exempt(&call->self->path, peer, exempt);
    bucket_set(&peer->receiving, rx_rate);
    bucket_set(&peer->sending, tx_rate);
    atomic_store(&peer->credit_low, credit_low);
    atomic_store(&peer->credit_is_low, false);
    atomic_store(&peer->credit, credit == 0 ? UINT64_MAX : credit);
    Py_RETURN_NONE;
}

PyObject *Path_counters(const struct call *call)
{
    struct peer *peer = call->peer;
    return Py_BuildValue("KKKK", load_count(&peer->rx_bytes), load_count(&peer->tx_bytes),
                         load_count(&peer->rx_packets), load_count(&peer->tx_packets));
}

/* The times that the peer's timers are made of. */

PyObject *Path_activity(const struct call *call)
{
    struct peer *peer = call->peer;
    return Py_BuildValue("ddddO", load_time(&peer->latest_sent), load_time(&peer->latest_received),
                         load_time(&peer->unanswered_sent), load_time(&peer->unanswered_received),
                         atomic_load(&peer->received_more) ? Py_True : Py_False);
}

PyObject *Path_watch(const struct call *call)
{
    atomic_store(&call->peer->watched, true);
    Py_RETURN_NONE;
}

PyObject *Path_note_sent(const struct call *call)
{
    double now;
    if (!read_seconds(call->given[0], &now))
        return NULL;
    store_time(&call->peer->latest_sent, now);
    store_time(&call->peer->unanswered_received, 0);
    Py_RETURN_NONE;
}

PyObject *Path_note_received(const struct call *call)
{
    double now;
    if (!read_seconds(call->given[0], &now))
        return NULL;
    store_time(&call->peer->latest_received, now);
    store_time(&call->peer->unanswered_sent, 0);
    Py_RETURN_NONE;
}

PyObject *Path_rearm(const struct call *call)
{
    store_time(&call->peer->unanswered_sent, 0);
    Py_RETURN_NONE;
}

PyObject *Path_take_received_more(const struct call *call)
{
    return PyBool_FromLong(atomic_exchange(&call->peer->received_more, false));
}
