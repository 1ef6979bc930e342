/* What the files of the Python module share. */
#ifndef FS_MODULE_H
#define FS_MODULE_H

#include "pump.h"

extern PyTypeObject PathType;

/* Append a bytes object to a list; on failure a Python exception is set, and nothing else. */
void list_append_bytes(PyObject *list, const uint8_t *bytes, size_t length);
void list_append_pieces(PyObject *list, const struct iovec *pieces, int count);

#endif
