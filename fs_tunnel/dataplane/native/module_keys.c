/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Methods of `Path` about keypairs and allowed IPs. */
#include "module_path.h"

#include <stdlib.h>

static void erase(struct keypair *keypair)
{
    explicit_bzero(keypair, sizeof(*keypair));
    free(keypair);
}

/* Fills a keypair from the arguments of `add_keys`; false with a Python exception. */
static bool read_keypair(PyObject *const *given, struct keypair *keypair)
{
    bool confirmed;
    if (!read_word(given[0], &keypair->local_index) ||
        !read_word(given[1], &keypair->remote_index) || !read_key(given[2], keypair->sending) ||
        !read_key(given[3], keypair->receiving) || !read_flag(given[4], &keypair->is_initiator) ||
        !read_seconds(given[5], &keypair->created) || !read_flag(given[6], &confirmed))
        return false;
    atomic_init(&keypair->unconfirmed, !confirmed);
    return true;
}

/* Gives a keypair to the path; false with a Python exception, and the keypair stays ours. */
static bool add_keypair(struct path *path, struct keypair *keypair)
{
    if (index_table_get(&path->indices, keypair->local_index) != NULL)
        PyErr_SetString(PyExc_ValueError, "an index names one keypair");
    else if (!path_add_keys(path, keypair))
        PyErr_NoMemory();
    else
        return true;
    return false;
}

PyObject *Path_add_keys(const struct call *call)
{
    struct keypair *keypair = calloc(1, sizeof(*keypair));
    if (keypair == NULL)
        return PyErr_NoMemory();
    keypair->peer = call->peer;
    if (!read_keypair(call->given, keypair) || !add_keypair(&call->self->path, keypair)) {
        erase(keypair);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *Path_use_keys(const struct call *call)
{
    struct keypair *keypair = NULL;
    uint32_t local_index;
    if (call->given[0] != Py_None) {
        if (!read_word(call->given[0], &local_index))
            return NULL;
        keypair = index_table_get(&call->self->path.indices, local_index);
        if (keypair == NULL || keypair->peer != call->peer) {
            PyErr_SetString(PyExc_KeyError, "no such keys");
            return NULL;
        }
    }
    path_use_keys(call->peer, keypair);
    Py_RETURN_NONE;
}

PyObject *Path_remove_keys(const struct call *call)
{
    uint32_t local_index;
    if (!read_word(call->given[0], &local_index))
        return NULL;
    struct keypair *keypair = index_table_get(&call->self->path.indices, local_index);
    if (keypair != NULL)
        path_remove_keys(&call->self->path, keypair);
    Py_RETURN_NONE;
}

/* Gives the network of the first two arguments to `peer`; a peer of NULL takes it away. */
static PyObject *set_network(const struct call *call, struct peer *peer)
{
    struct bytes prefix;
    uint32_t length;
    if (!read_address(call->given[0], &prefix) || !read_word(call->given[1], &length))
        return NULL;
    if (length > prefix.length * 8) {
        PyErr_SetString(PyExc_ValueError, "a prefix has no more bits than its address has");
        return NULL;
    }
    if (!path_allow(&call->self->path, prefix.at, prefix.length, length, peer))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *Path_allow(const struct call *call)
{
    struct peer *peer;
    return read_peer(call->given[2], &call->self->path, &peer) ? set_network(call, peer) : NULL;
}

PyObject *Path_disallow(const struct call *call)
{
    return set_network(call, NULL);
}
