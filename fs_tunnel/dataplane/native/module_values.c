/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "module.h"

static bool refuse(PyObject *exception, const char *text)
{
    PyErr_SetString(exception, text);
    return false;
}

bool read_flag(PyObject *value, bool *flag)
{
    int truth = PyObject_IsTrue(value);
    *flag = truth > 0;
    return truth >= 0;
}

bool read_seconds(PyObject *value, double *seconds)
{
    *seconds = PyFloat_AsDouble(value);
    return *seconds != -1.0 || !PyErr_Occurred();
}

bool read_count(PyObject *value, uint64_t *count)
{
    *count = PyLong_AsUnsignedLongLong(value);
    return *count != UINT64_MAX || !PyErr_Occurred();
}

bool read_word(PyObject *value, uint32_t *word)
{
    uint64_t count;
    if (!read_count(value, &count))
        return false;
    if (count > UINT32_MAX)
        return refuse(PyExc_OverflowError, "the number does not fit into 32 bits");
    *word = (uint32_t)count;
    return true;
}

bool read_bytes(PyObject *value, struct bytes *bytes)
{
    char *at;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(value, &at, &length) < 0)
        return false;
    *bytes = (struct bytes){(const uint8_t *)at, (size_t)length};
    return true;
}

bool read_key(PyObject *value, uint8_t key[KEY_BYTES])
{
    struct bytes bytes;
    if (!read_bytes(value, &bytes))
        return false;
    if (bytes.length != KEY_BYTES)
        return refuse(PyExc_ValueError, "a key has 32 bytes");
    memcpy(key, bytes.at, KEY_BYTES);
    return true;
}

bool read_address(PyObject *value, struct bytes *address)
{
    if (!read_bytes(value, address))
        return false;
    if (address->length != 4 && address->length != 16)
        return refuse(PyExc_ValueError, "an address has 4 or 16 bytes");
    return true;
}

bool read_port(PyObject *value, uint16_t *port)
{
    uint32_t word;
    if (!read_word(value, &word))
        return false;
    if (word > UINT16_MAX)
        return refuse(PyExc_ValueError, "a port has 16 bits");
    *port = (uint16_t)word;
    return true;
}

static union address make_address(const struct bytes *packed, uint16_t port, uint32_t scope)
{
    union address address;
    memset(&address, 0, sizeof(address)); /* the padding too: endpoints compare as bytes */
    if (packed->length == 4) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        memcpy(&address.v4.sin_addr, packed->at, 4);
    } else {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        address.v6.sin6_scope_id = scope;
        memcpy(&address.v6.sin6_addr, packed->at, 16);
    }
    return address;
}

enum { ADDRESS, PORT, SCOPE, LOCAL, INTERFACE, ENDPOINT_ITEMS };

bool read_endpoint(PyObject *value, struct endpoint *endpoint)
{
    struct bytes address, local;
    uint16_t port;
    uint32_t scope, interface;
    if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) != ENDPOINT_ITEMS)
        return refuse(PyExc_TypeError, "an endpoint is a tuple of 5");
    if (!read_address(PyTuple_GET_ITEM(value, ADDRESS), &address) ||
        !read_port(PyTuple_GET_ITEM(value, PORT), &port) ||
        !read_word(PyTuple_GET_ITEM(value, SCOPE), &scope) ||
        !read_bytes(PyTuple_GET_ITEM(value, LOCAL), &local) ||
        !read_word(PyTuple_GET_ITEM(value, INTERFACE), &interface))
        return false;
    if (local.length != 0 && local.length != address.length)
        return refuse(PyExc_ValueError, "a local address has as many bytes as the remote one");
    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->remote = make_address(&address, port, scope);
    endpoint->has_local = local.length != 0;
    endpoint->local_interface = interface;
    memcpy(endpoint->local, local.at, local.length);
    return true;
}

bool read_peer(PyObject *value, const struct path *path, struct peer **peer)
{
    uint64_t number;
    if (!read_count(value, &number))
        return false;
    *peer = path_peer(path, number);
    return *peer != NULL || refuse(PyExc_KeyError, "no such peer");
}

PyObject *write_endpoint(const struct endpoint *endpoint)
{
    const union address *remote = &endpoint->remote;
    if (remote->family == 0)
        Py_RETURN_NONE;
    bool v4 = remote->family == AF_INET;
    Py_ssize_t bytes = v4 ? 4 : 16;
    return Py_BuildValue(
        "y#IIy#I", v4 ? (const char *)&remote->v4.sin_addr : (const char *)&remote->v6.sin6_addr,
        bytes, (unsigned int)ntohs(v4 ? remote->v4.sin_port : remote->v6.sin6_port),
        v4 ? 0u : (unsigned int)remote->v6.sin6_scope_id, (const char *)endpoint->local,
        endpoint->has_local ? bytes : (Py_ssize_t)0, (unsigned int)endpoint->local_interface);
}

bool list_append(PyObject *list, PyObject *item)
{
    bool appended = item != NULL && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return appended;
}

bool list_append_bytes(PyObject *list, const uint8_t *bytes, size_t length)
{
    return list_append(list, PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)length));
}

bool list_append_pieces(PyObject *list, const struct iovec *pieces, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += pieces[i].iov_len;
    PyObject *item = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (item == NULL)
        return false;
    char *to = PyBytes_AS_STRING(item);
    for (int i = 0; i < count; i++) {
        memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
        to += pieces[i].iov_len;
    }
    return list_append(list, item);
}
