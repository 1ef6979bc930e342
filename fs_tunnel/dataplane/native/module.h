/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* What the files of the Python module share: its type, and values between Python and C.
 *
 * Everything in the files module*.c runs with the interpreter's lock held.
 */
#ifndef FS_MODULE_H
#define FS_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "path.h"

#include <sys/uio.h>

extern PyTypeObject PathType;

/* Bytes that belong to a Python object: valid while the object lives. */
struct bytes {
    const uint8_t *at;
    size_t length;
};

/* Values from Python.  Each function returns false with a Python exception: TypeError for another
 * type, OverflowError for a number that does not fit, or the error that is named there. */
bool read_flag(PyObject *value, bool *flag);
bool read_seconds(PyObject *value, double *seconds);
bool read_word(PyObject *value, uint32_t *word);
bool read_count(PyObject *value, uint64_t *count);
bool read_bytes(PyObject *value, struct bytes *bytes);

/* A key of exactly KEY_BYTES bytes; otherwise ValueError. */
bool read_key(PyObject *value, uint8_t key[KEY_BYTES]);

/* A packed IPv4 or IPv6 address and a port; otherwise ValueError. */
bool read_address(PyObject *value, struct bytes *address);
bool read_port(PyObject *value, uint16_t *port);

/* The tuple RawEndpoint of _native.pyi; ValueError if its addresses or its port cannot be. */
bool read_endpoint(PyObject *value, struct endpoint *endpoint);

/* A peer by its number; KeyError if the path has no such peer. */
bool read_peer(PyObject *value, const struct path *path, struct peer **peer);

/* Values for Python.  Each function returns NULL, or false, with a Python exception. */

/* The tuple RawEndpoint, or None for an endpoint that is not set. */
PyObject *write_endpoint(const struct endpoint *endpoint);

/* Appends `item` to a list and gives up the reference to it.  An `item` of NULL stands for an
 * exception that is set already. */
bool list_append(PyObject *list, PyObject *item);
bool list_append_bytes(PyObject *list, const uint8_t *bytes, size_t length);

/* Appends one bytes object that is made of all the pieces. */
bool list_append_pieces(PyObject *list, const struct iovec *pieces, int count);

#endif
