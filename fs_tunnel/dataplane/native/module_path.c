/* The type `Path`: the tables, the threads, and a worker without a thread for what Python asks.
 *
 * All of it runs under the interpreter's lock; packet threads never touch Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

#include <errno.h>
#include <stdlib.h>

enum { CONTROL_READER = MAX_READERS - 1 }; /* it only reads while it writes: always asleep */

typedef struct {
    PyObject_HEAD
    struct path path;
    struct worker worker;
    PyObject *datagrams, *frames; /* what the worker made */
    struct pump *pumps[MAX_READERS];
    int pump_count;
    struct pump_findings findings;
    bool ready;
} Path;

void list_append_bytes(PyObject *list, const uint8_t *bytes, size_t length)
{
    PyObject *item = PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)length);
    if (item != NULL) {
        (void)PyList_Append(list, item);
        Py_DECREF(item);
    }
}

void list_append_pieces(PyObject *list, const struct iovec *pieces, int count)
{
    Py_ssize_t length = 0;
    for (int i = 0; i < count; i++)
        length += (Py_ssize_t)pieces[i].iov_len;
    PyObject *item = PyBytes_FromStringAndSize(NULL, length);
    if (item == NULL)
        return;
    char *to = PyBytes_AS_STRING(item);
    for (int i = 0; i < count; i++) {
        memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
        to += pieces[i].iov_len;
    }
    (void)PyList_Append(list, item);
    Py_DECREF(item);
}

/* Endpoints, as (packed address, port, scope, packed local address, interface). */

static bool read_endpoint(PyObject *tuple, struct endpoint *endpoint)
{
    const char *address, *local;
    Py_ssize_t address_bytes, local_bytes;
    unsigned int port, scope, interface;
    memset(endpoint, 0, sizeof(*endpoint));
    if (!PyArg_ParseTuple(tuple, "y#IIy#I", &address, &address_bytes, &port, &scope, &local,
                          &local_bytes, &interface))
        return false;
    if ((address_bytes != 4 && address_bytes != 16) || port > 0xffff ||
        (local_bytes != 0 && local_bytes != address_bytes)) {
        PyErr_SetString(PyExc_ValueError, "an address has 4 or 16 bytes, and a port 16 bits");
        return false;
    }
    if (address_bytes == 4) {
        endpoint->remote.v4.sin_family = AF_INET;
        endpoint->remote.v4.sin_port = htons((uint16_t)port);
        memcpy(&endpoint->remote.v4.sin_addr, address, 4);
    } else {
        endpoint->remote.v6.sin6_family = AF_INET6;
        endpoint->remote.v6.sin6_port = htons((uint16_t)port);
        endpoint->remote.v6.sin6_scope_id = scope;
        memcpy(&endpoint->remote.v6.sin6_addr, address, 16);
    }
    endpoint->has_local = local_bytes != 0;
    endpoint->local_interface = interface;
    memcpy(endpoint->local, local, (size_t)local_bytes);
    return true;
}

static PyObject *write_endpoint(const struct endpoint *endpoint)
{
    bool v4 = endpoint->remote.family == AF_INET;
    if (endpoint->remote.family == 0)
        Py_RETURN_NONE;
    Py_ssize_t bytes = v4 ? 4 : 16;
    return Py_BuildValue(
        "y#IIy#I",
        v4 ? (const char *)&endpoint->remote.v4.sin_addr
           : (const char *)&endpoint->remote.v6.sin6_addr,
        bytes, (unsigned int)ntohs(v4 ? endpoint->remote.v4.sin_port : endpoint->remote.v6.sin6_port),
        v4 ? 0u : (unsigned int)endpoint->remote.v6.sin6_scope_id, (const char *)endpoint->local,
        endpoint->has_local ? bytes : (Py_ssize_t)0, (unsigned int)endpoint->local_interface);
}

/* Where the worker's runs and frames go. */

static void keep_runs(struct worker *worker)
{
    Path *self = worker->context;
    for (int i = 0; i < worker->run_count; i++) {
        const struct run *run = &worker->runs[i];
        PyObject *endpoint = write_endpoint(&run->endpoint);
        PyObject *item =
            endpoint == NULL
                ? NULL
                : Py_BuildValue("KNIy#", (unsigned long long)run->peer->number, endpoint,
                                (unsigned int)run->segment, (const char *)worker->out + run->offset,
                                (Py_ssize_t)run->length);
        if (item != NULL) {
            (void)PyList_Append(self->datagrams, item);
            Py_DECREF(item);
        }
    }
    worker->run_count = 0;
    worker->out_used = 0;
}

static void keep_frame(void *context, const struct iovec *pieces, int count)
{
    list_append_pieces(((Path *)context)->frames, pieces, count);
}

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

static PyObject *Path_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"clock_scale", NULL};
    double scale;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "d", names, &scale))
        return NULL;
    Path *self = (Path *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->datagrams = PyList_New(0);
    self->frames = PyList_New(0);
    if (self->datagrams == NULL || self->frames == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    if (!path_init(&self->path)) {
        Py_DECREF(self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    self->path.clock_scale = scale;
    if (!worker_init(&self->worker, &self->path, CONTROL_READER)) {
        path_free(&self->path);
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->worker.send_runs = keep_runs;
    self->worker.context = self;
    coalescer_init(&self->worker.coalescer, keep_frame, self);
    self->worker.coalescer.udp_allowed = true;
    self->ready = true;
    return (PyObject *)self;
}

static struct peer *peer_of(Path *self, unsigned long long number)
{
    struct peer *peer = path_peer(&self->path, number);
    if (peer == NULL)
        PyErr_SetString(PyExc_KeyError, "no such peer");
    return peer;
}

/* Peers. */

static PyObject *Path_fileno(Path *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(self->path.events.fd);
}

static PyObject *Path_add_peer(Path *self, PyObject *unused)
{
    (void)unused;
    struct peer *peer = path_add_peer(&self->path);
    return peer == NULL ? PyErr_NoMemory() : PyLong_FromUnsignedLongLong(peer->number);
}

static PyObject *Path_remove_peer(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    path_remove_peer(&self->path, peer);
    Py_RETURN_NONE;
}

static PyObject *Path_endpoint(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    lock_take(&peer->endpoint_lock);
    struct endpoint endpoint = peer->endpoint;
    lock_give(&peer->endpoint_lock);
    return write_endpoint(&endpoint);
}

static PyObject *Path_set_endpoint(Path *self, PyObject *arguments)
{
    unsigned long long number;
    PyObject *tuple;
    struct endpoint endpoint;
    struct peer *peer;
    memset(&endpoint, 0, sizeof(endpoint));
    if (!PyArg_ParseTuple(arguments, "KO", &number, &tuple) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    if (tuple != Py_None && !read_endpoint(tuple, &endpoint))
        return NULL;
    lock_take(&peer->endpoint_lock);
    peer->endpoint = endpoint;
    lock_give(&peer->endpoint_lock);
    store_time(&peer->no_segmentation_until, 0);
    Py_RETURN_NONE;
}

static PyObject *Path_forget_local(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    lock_take(&peer->endpoint_lock);
    endpoint_forget_local(&peer->endpoint);
    lock_give(&peer->endpoint_lock);
    Py_RETURN_NONE;
}

static PyObject *Path_set_limits(Path *self, PyObject *arguments)
{
    unsigned long long number, rx_rate, tx_rate, credit, credit_low;
    const char *address;
    Py_ssize_t address_bytes;
    unsigned int port;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "KKKKKy#I", &number, &rx_rate, &tx_rate, &credit, &credit_low,
                          &address, &address_bytes, &port) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    struct exempt *exempt = NULL;
    if (address_bytes == 4 || address_bytes == 16) {
        exempt = calloc(1, sizeof(*exempt));
        if (exempt == NULL)
            return PyErr_NoMemory();
        exempt->address_bytes = (uint32_t)address_bytes;
        exempt->port = (uint16_t)port;
        memcpy(exempt->address, address, (size_t)address_bytes);
    }
    path_set_exempt(&self->path, peer, exempt);
    bucket_set(&peer->receiving, rx_rate);
    bucket_set(&peer->sending, tx_rate);
    atomic_store(&peer->credit_low, credit_low);
    atomic_store(&peer->credit_is_low, false);
    atomic_store(&peer->credit, credit == 0 ? UINT64_MAX : credit);
    Py_RETURN_NONE;
}

static PyObject *Path_counters(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    return Py_BuildValue("KKKK", load_count(&peer->rx_bytes), load_count(&peer->tx_bytes),
                         load_count(&peer->rx_packets), load_count(&peer->tx_packets));
}

/* Keys. */

static PyObject *Path_add_keys(Path *self, PyObject *arguments)
{
    unsigned long long number;
    unsigned int local, remote;
    const char *sending, *receiving;
    Py_ssize_t sending_bytes, receiving_bytes;
    int is_initiator, confirmed;
    double created;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "KIIy#y#pdp", &number, &local, &remote, &sending,
                          &sending_bytes, &receiving, &receiving_bytes, &is_initiator, &created,
                          &confirmed) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    if (sending_bytes != KEY_BYTES || receiving_bytes != KEY_BYTES ||
        index_table_get(&self->path.indices, local) != NULL) {
        PyErr_SetString(PyExc_ValueError, "a key has 32 bytes, and an index one keypair");
        return NULL;
    }
    struct keypair *keypair = calloc(1, sizeof(*keypair));
    if (keypair == NULL)
        return PyErr_NoMemory();
    keypair->peer = peer;
    keypair->local_index = local;
    keypair->remote_index = remote;
    keypair->is_initiator = is_initiator;
    keypair->created = created;
    atomic_init(&keypair->unconfirmed, !confirmed);
    memcpy(keypair->sending, sending, KEY_BYTES);
    memcpy(keypair->receiving, receiving, KEY_BYTES);
    if (!path_add_keys(&self->path, keypair)) {
        explicit_bzero(keypair, sizeof(*keypair));
        free(keypair);
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *Path_use_keys(Path *self, PyObject *arguments)
{
    unsigned long long number;
    PyObject *index;
    struct peer *peer;
    struct keypair *keypair = NULL;
    if (!PyArg_ParseTuple(arguments, "KO", &number, &index) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    if (index != Py_None) {
        unsigned long local = PyLong_AsUnsignedLong(index);
        if (PyErr_Occurred())
            return NULL;
        keypair = index_table_get(&self->path.indices, (uint32_t)local);
        if (keypair == NULL || keypair->peer != peer) {
            PyErr_SetString(PyExc_KeyError, "no such keys");
            return NULL;
        }
    }
    path_use_keys(peer, keypair);
    Py_RETURN_NONE;
}

static PyObject *Path_remove_keys(Path *self, PyObject *arguments)
{
    unsigned int local;
    if (!PyArg_ParseTuple(arguments, "I", &local))
        return NULL;
    struct keypair *keypair = index_table_get(&self->path.indices, local);
    if (keypair != NULL)
        path_remove_keys(&self->path, keypair);
    Py_RETURN_NONE;
}

/* Cryptokey routing. */

static PyObject *set_network(Path *self, const char *prefix, Py_ssize_t bytes, unsigned int length,
                             struct peer *peer)
{
    if ((bytes != 4 && bytes != 16) || length > (size_t)bytes * 8) {
        PyErr_SetString(PyExc_ValueError, "a network has 4 or 16 bytes, and no longer prefix");
        return NULL;
    }
    if (!path_allow(&self->path, (const uint8_t *)prefix, (size_t)bytes, length, peer))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *Path_allow(Path *self, PyObject *arguments)
{
    const char *prefix;
    Py_ssize_t bytes;
    unsigned int length;
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "y#IK", &prefix, &bytes, &length, &number) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    return set_network(self, prefix, bytes, length, peer);
}

static PyObject *Path_disallow(Path *self, PyObject *arguments)
{
    const char *prefix;
    Py_ssize_t bytes;
    unsigned int length;
    if (!PyArg_ParseTuple(arguments, "y#I", &prefix, &bytes, &length))
        return NULL;
    return set_network(self, prefix, bytes, length, NULL);
}

/* The interface. */

static PyObject *Path_set_up(Path *self, PyObject *arguments)
{
    int up;
    if (!PyArg_ParseTuple(arguments, "p", &up))
        return NULL;
    atomic_store(&self->path.up, up);
    Py_RETURN_NONE;
}

static PyObject *Path_set_mtu(Path *self, PyObject *arguments)
{
    unsigned int mtu;
    if (!PyArg_ParseTuple(arguments, "I", &mtu))
        return NULL;
    atomic_store(&self->path.mtu, mtu);
    Py_RETURN_NONE;
}

/* What the control plane sends. */

static PyObject *Path_seal(Path *self, PyObject *arguments)
{
    unsigned long long number;
    const char *packet;
    Py_ssize_t length;
    double now;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "Ky#d", &number, &packet, &length, &now) ||
        (peer = peer_of(self, number)) == NULL)
        return NULL;
    if (length > MAX_PACKET) {
        PyErr_SetString(PyExc_ValueError, "a packet has at most 65535 bytes");
        return NULL;
    }
    self->worker.now = now;
    size_t size =
        outbound_seal(&self->worker, peer, (const uint8_t *)packet, (uint32_t)length,
                      self->worker.out);
    if (size == 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)self->worker.out, (Py_ssize_t)size);
}

static PyObject *Path_not_sent(Path *self, PyObject *arguments)
{
    unsigned long long number, length;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "KK", &number, &length))
        return NULL;
    peer = path_peer(&self->path, number);
    if (peer == NULL) /* it may have been removed since */
        Py_RETURN_NONE;
    atomic_fetch_sub(&peer->tx_bytes, length);
    atomic_fetch_sub(&peer->tx_packets, 1);
    Py_RETURN_NONE;
}

/* Timers. */

static PyObject *Path_activity(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    return Py_BuildValue("ddddO", load_time(&peer->latest_sent), load_time(&peer->latest_received),
                         load_time(&peer->unanswered_sent), load_time(&peer->unanswered_received),
                         atomic_load(&peer->received_more) ? Py_True : Py_False);
}

static PyObject *Path_watch(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    atomic_store(&peer->watched, true);
    Py_RETURN_NONE;
}

static PyObject *Path_note_sent(Path *self, PyObject *arguments)
{
    unsigned long long number;
    double now;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "Kd", &number, &now) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    store_time(&peer->latest_sent, now);
    store_time(&peer->unanswered_received, 0);
    Py_RETURN_NONE;
}

static PyObject *Path_note_received(Path *self, PyObject *arguments)
{
    unsigned long long number;
    double now;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "Kd", &number, &now) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    store_time(&peer->latest_received, now);
    store_time(&peer->unanswered_sent, 0);
    Py_RETURN_NONE;
}

static PyObject *Path_rearm(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    store_time(&peer->unanswered_sent, 0);
    Py_RETURN_NONE;
}

static PyObject *Path_take_received_more(Path *self, PyObject *arguments)
{
    unsigned long long number;
    struct peer *peer;
    if (!PyArg_ParseTuple(arguments, "K", &number) || (peer = peer_of(self, number)) == NULL)
        return NULL;
    return PyBool_FromLong(atomic_exchange(&peer->received_more, false));
}

/* What it tells. */

static PyObject *write_event(Path *self, const struct event *event)
{
    if (event->kind == ENDPOINT_MOVED) {
        struct peer *peer = path_peer(&self->path, event->peer);
        if (peer != NULL)
            atomic_store(&peer->moved, false);
    }
    PyObject *endpoint = write_endpoint(&event->endpoint);
    if (endpoint == NULL)
        return NULL;
    return Py_BuildValue("iKIy#N", (int)event->kind, (unsigned long long)event->peer,
                         (unsigned int)event->index, (const char *)event->data,
                         (Py_ssize_t)event->length, endpoint);
}

static PyObject *Path_take_events(Path *self, PyObject *arguments)
{
    unsigned int handshakes;
    if (!PyArg_ParseTuple(arguments, "I", &handshakes))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list == NULL)
        return NULL;
    struct event *event = events_take(&self->path.events, handshakes);
    while (event != NULL) {
        struct event *next = event->next;
        PyObject *item = PyErr_Occurred() ? NULL : write_event(self, event);
        if (item != NULL) {
            (void)PyList_Append(list, item);
            Py_DECREF(item);
        }
        free(event);
        event = next;
    }
    epoch_reclaim(&self->path.epochs);
    if (PyErr_Occurred())
        Py_CLEAR(list);
    return list;
}

static const char *const drop_names[] = {
#define DROP_NAME(reason) #reason,
    DROP_REASONS(DROP_NAME)
#undef DROP_NAME
};

static PyObject *Path_drops(Path *self, PyObject *unused)
{
    (void)unused;
    PyObject *drops = PyDict_New();
    for (int i = 0; drops != NULL && i < DROP_REASON_COUNT; i++) {
        uint64_t count = load_count(&self->path.drops.count[i]);
        if (count == 0)
            continue;
        PyObject *value = PyLong_FromUnsignedLongLong(count);
        if (value == NULL || PyDict_SetItemString(drops, drop_names[i], value) < 0)
            Py_CLEAR(drops);
        Py_XDECREF(value);
    }
    return drops;
}

/* The threads. */

static PyObject *Path_start(Path *self, PyObject *arguments)
{
    PyObject *list;
    int udp_frames;
    if (!PyArg_ParseTuple(arguments, "O!p", &PyList_Type, &list, &udp_frames))
        return NULL;
    if (self->pump_count > 0 || PyList_GET_SIZE(list) > CONTROL_READER) {
        PyErr_SetString(PyExc_ValueError, "the threads run already, or there are too many");
        return NULL;
    }
    atomic_store(&self->path.udp_frames, udp_frames);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        struct pump_files files;
        struct pump *pump = NULL;
        if (PyArg_ParseTuple(PyList_GET_ITEM(list, i), "iii", &files.tun, &files.udp_v4,
                             &files.udp_v6)) {
            pump = pump_start(&self->path, &self->findings, (int)i, files);
            if (pump == NULL)
                PyErr_SetFromErrno(PyExc_OSError);
        }
        if (pump == NULL) {
            while (self->pump_count > 0)
                pump_stop(self->pumps[--self->pump_count]);
            return NULL;
        }
        self->pumps[self->pump_count++] = pump;
    }
    Py_RETURN_NONE;
}

static PyObject *Path_stop(Path *self, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < self->pump_count; i++)
        pump_stop(self->pumps[i]);
    Py_END_ALLOW_THREADS;
    self->pump_count = 0;
    Py_RETURN_NONE;
}

static PyObject *Path_sends_refused_whole(Path *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(load_count(&self->findings.sends_refused_whole));
}

/* Packets by hand: what the threads do, for tests. */

static PyObject *Path_receive_frame(Path *self, PyObject *arguments)
{
    const char *frame;
    Py_ssize_t length;
    double now;
    if (!PyArg_ParseTuple(arguments, "y#d", &frame, &length, &now))
        return NULL;
    if (length > MAX_FRAME) {
        PyErr_SetString(PyExc_ValueError, "a frame has at most 65545 bytes");
        return NULL;
    }
    self->worker.now = now;
    memcpy(self->worker.frame, frame, (size_t)length);
    outbound_frame_untrusted(&self->worker, self->worker.frame, (size_t)length);
    keep_runs(&self->worker);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *Path_receive_datagrams(Path *self, PyObject *arguments)
{
    const char *data;
    Py_ssize_t length;
    unsigned int segment;
    PyObject *source;
    double now;
    struct endpoint from;
    if (!PyArg_ParseTuple(arguments, "y#IO!d", &data, &length, &segment, &PyTuple_Type, &source,
                          &now) ||
        !read_endpoint(source, &from))
        return NULL;
    /* A copy of just this length, so that a sanitizer sees a read beyond it. */
    uint8_t *bytes = malloc((size_t)length + (length == 0));
    if (bytes == NULL)
        return PyErr_NoMemory();
    memcpy(bytes, data, (size_t)length);
    self->worker.now = now;
    inbound_datagrams_untrusted(&self->worker, bytes, (size_t)length,
                                segment == 0 ? (size_t)MAX_FRAME : segment, &from);
    coalescer_flush(&self->worker.coalescer);
    free(bytes);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *take_list(PyObject **list)
{
    PyObject *fresh = PyList_New(0), *taken = *list;
    if (fresh == NULL)
        return NULL;
    *list = fresh;
    return taken;
}

static PyObject *Path_take_datagrams(Path *self, PyObject *unused)
{
    (void)unused;
    return take_list(&self->datagrams);
}

static PyObject *Path_take_frames(Path *self, PyObject *unused)
{
    (void)unused;
    return take_list(&self->frames);
}

#define METHOD(name, flags) {#name, (PyCFunction)Path_##name, flags, NULL}

static PyMethodDef methods[] = {
    METHOD(fileno, METH_NOARGS),
    METHOD(add_peer, METH_NOARGS),
    METHOD(remove_peer, METH_VARARGS),
    METHOD(endpoint, METH_VARARGS),
    METHOD(set_endpoint, METH_VARARGS),
    METHOD(forget_local, METH_VARARGS),
    METHOD(set_limits, METH_VARARGS),
    METHOD(counters, METH_VARARGS),
    METHOD(add_keys, METH_VARARGS),
    METHOD(use_keys, METH_VARARGS),
    METHOD(remove_keys, METH_VARARGS),
    METHOD(allow, METH_VARARGS),
    METHOD(disallow, METH_VARARGS),
    METHOD(set_up, METH_VARARGS),
    METHOD(set_mtu, METH_VARARGS),
    METHOD(seal, METH_VARARGS),
    METHOD(not_sent, METH_VARARGS),
    METHOD(activity, METH_VARARGS),
    METHOD(watch, METH_VARARGS),
    METHOD(note_sent, METH_VARARGS),
    METHOD(note_received, METH_VARARGS),
    METHOD(rearm, METH_VARARGS),
    METHOD(take_received_more, METH_VARARGS),
    METHOD(take_events, METH_VARARGS),
    METHOD(drops, METH_NOARGS),
    METHOD(start, METH_VARARGS),
    METHOD(stop, METH_NOARGS),
    METHOD(sends_refused_whole, METH_NOARGS),
    METHOD(receive_frame, METH_VARARGS),
    METHOD(receive_datagrams, METH_VARARGS),
    METHOD(take_datagrams, METH_NOARGS),
    METHOD(take_frames, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

PyTypeObject PathType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "fs_tunnel.dataplane._native.Path",
    .tp_basicsize = sizeof(Path),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Path_new,
    .tp_dealloc = (destructor)Path_dealloc,
    .tp_methods = methods,
};
