/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "pump.h"

#include "udp_send.h"

#include <errno.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    MOST_EVENTS = 4,
    NICENESS = -10, /* packets do not wait for the programs that make or take them */
    RECEIVE_BATCH = 8,
    RECEIVE_BYTES = 65536, /* the most that GRO joins */
    CONTROL_BYTES = 128,
};

/* How long a thread asks for more, and yields in between, before it sleeps.  A packet that comes
 * within this time, such as an answer, need not wait for a sleeping thread to wake.  In bulk, a
 * thread sleeps at once, because other threads need the cores. */
static const double LINGER_SECONDS = 100e-6;
enum { BULK_BYTES = 8192 }; /* a turn that moves so many is bulk */

enum source { STOP, TUN, UDP_V4, UDP_V6 };

struct pump {
    struct worker worker;
    struct pump_files files;
    struct pump_findings *findings;
    pthread_t thread;
    int epoll, stop;
    size_t turn_bytes; /* how many bytes this turn has moved */
    bool blocked; /* a socket's buffer is full: the TUN is not read until it drains */
    uint8_t *received; /* RECEIVE_BATCH times RECEIVE_BYTES */
    struct mmsghdr messages[RECEIVE_BATCH];
    struct iovec pieces[RECEIVE_BATCH];
    union address sources[RECEIVE_BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_BYTES];
    } control[RECEIVE_BATCH];
};

static bool watch(struct pump *pump, int operation, int fd, enum source source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = source};
    return epoll_ctl(pump->epoll, operation, fd, &event) == 0;
}

static void watch_for_room(struct pump *pump, uint32_t events)
{
    if (pump->files.udp_v4 >= 0)
        watch(pump, EPOLL_CTL_MOD, pump->files.udp_v4, UDP_V4, EPOLLIN | events);
    if (pump->files.udp_v6 >= 0)
        watch(pump, EPOLL_CTL_MOD, pump->files.udp_v6, UDP_V6, EPOLLIN | events);
}

/* From the TUN to UDP. */

static void send_runs(struct worker *worker)
{
    struct pump *pump = worker->context;
    bool sent = udp_send_runs(worker, &pump->files, pump->findings);
    if (sent == !pump->blocked)
        return;
    pump->blocked = !sent;
    if (pump->files.tun >= 0)
        watch(pump, EPOLL_CTL_MOD, pump->files.tun, TUN, sent ? EPOLLIN : 0);
    watch_for_room(pump, sent ? 0 : EPOLLOUT);
}

/* The TUN was deleted.  The control plane sees that by itself. */
static void forget_tun(struct pump *pump)
{
    epoll_ctl(pump->epoll, EPOLL_CTL_DEL, pump->files.tun, NULL);
    pump->files.tun = -1;
}

static void read_tun(struct pump *pump)
{
    struct worker *worker = &pump->worker;
    while (outbound_has_room(worker)) {
        ssize_t length = read(pump->files.tun, worker->frame, MAX_FRAME);
        if (length > 0) {
            outbound_frame_untrusted(worker, worker->frame, (size_t)length);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            forget_tun(pump);
            break;
        }
    }
    pump->turn_bytes += worker->out_used;
    if (worker->run_count > 0)
        send_runs(worker);
}

/* From UDP to the TUN. */

static void write_frame(void *context, const struct iovec *pieces, int count)
{
    struct pump *pump = context;
    struct drops *drops = &pump->worker.path->drops;
    if (pump->files.tun < 0) {
        drops_add(drops, DROP_INTERFACE_DOWN, 1);
        return;
    }
    if (writev(pump->files.tun, pieces, count) >= 0)
        return;
    drops_add(drops,
              errno == EAGAIN ? DROP_TUN_FULL
              : errno == EIO  ? DROP_INTERFACE_DOWN
                              : DROP_TUN_REFUSED,
              (uint64_t)count - 1);
}

/* Reads where a message came from and to, and how many bytes each of its datagrams has. */
static void read_control(struct msghdr *header, struct endpoint *from, size_t *segment)
{
    memcpy(&from->remote, header->msg_name, address_length(header->msg_name));
    if (from->remote.family == AF_INET6)
        from->remote.v6.sin6_flowinfo = 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL;
         control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof(info));
            from->has_local = true;
            from->local_interface = (uint32_t)info.ipi_ifindex;
            memcpy(from->local, &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof(info));
            from->has_local = true;
            from->local_interface = info.ipi6_ifindex;
            memcpy(from->local, &info.ipi6_addr, sizeof(info.ipi6_addr));
        } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof(size));
            if (size > 0)
                *segment = (size_t)size;
        }
    }
}

static void read_udp(struct pump *pump, int fd)
{
    for (int i = 0; i < RECEIVE_BATCH; i++) {
        struct msghdr *header = &pump->messages[i].msg_hdr;
        header->msg_namelen = sizeof(pump->sources[i]);
        header->msg_controllen = CONTROL_BYTES;
    }
    int count = recvmmsg(fd, pump->messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &pump->messages[i].msg_hdr;
        size_t length = pump->messages[i].msg_len, segment = RECEIVE_BYTES;
        struct endpoint from;
        pump->turn_bytes += length;
        memset(&from, 0, sizeof(from));
        read_control(header, &from, &segment);
        inbound_datagrams_untrusted(&pump->worker, pump->pieces[i].iov_base, length, segment,
                                    &from);
    }
    /* The count is negative if there was no message, or if the socket reported the ICMP error of an
     * earlier send, which this call has cleared. */
    coalescer_flush(&pump->worker.coalescer);
}

/* The thread. */

/* Returns how many files are ready, now or within LINGER_SECONDS. */
static int linger(struct pump *pump, struct epoll_event *events, int most)
{
    const struct path *path = pump->worker.path;
    int count = epoll_wait(pump->epoll, events, most, 0);
    if (count != 0 || pump->turn_bytes >= BULK_BYTES)
        return count;
    double until = path_now(path) + LINGER_SECONDS * path->clock_scale;
    while (count == 0 && path_now(path) < until) {
        sched_yield();
        count = epoll_wait(pump->epoll, events, most, 0);
    }
    return count;
}

static void *run(void *argument)
{
    struct pump *pump = argument;
    struct worker *worker = &pump->worker;
    struct epochs *epochs = &worker->path->epochs;
    /* This is for the thread alone.  Without the privilege, its niceness stays as it is. */
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    char name[16];
    snprintf(name, sizeof(name), "fs-packets-%d", worker->reader);
    (void)prctl(PR_SET_NAME, name);
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        /* A run that waits for room points to its peer. */
        bool holds = worker->run_count > 0;
        if (!holds)
            epoch_asleep(epochs, worker->reader);
        int count = linger(pump, events, MOST_EVENTS);
        if (count == 0)
            count = epoll_wait(pump->epoll, events, MOST_EVENTS, -1);
        if (!holds)
            epoch_quiescent(epochs, worker->reader);
        worker->now = path_now(worker->path);
        pump->turn_bytes = 0;
        for (int i = 0; i < count; i++) {
            switch (events[i].data.u32) {
            case STOP:
                epoch_asleep(epochs, worker->reader);
                return NULL;
            case TUN:
                if (pump->files.tun >= 0 && (events[i].events & EPOLLERR))
                    forget_tun(pump);
                else if (pump->files.tun >= 0 && !pump->blocked)
                    read_tun(pump);
                break;
            case UDP_V4:
            case UDP_V6:
                if (pump->blocked && (events[i].events & EPOLLOUT))
                    send_runs(worker);
                if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                    read_udp(pump, events[i].data.u32 == UDP_V4 ? pump->files.udp_v4
                                                                : pump->files.udp_v6);
                break;
            }
        }
    }
}

static void pump_free(struct pump *pump)
{
    int error = errno;
    if (pump->epoll >= 0)
        close(pump->epoll);
    if (pump->stop >= 0)
        close(pump->stop);
    free(pump->received);
    worker_free(&pump->worker);
    free(pump);
    errno = error;
}

static bool prepare(struct pump *pump)
{
    pump->epoll = epoll_create1(EPOLL_CLOEXEC);
    pump->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pump->received = malloc((size_t)RECEIVE_BATCH * RECEIVE_BYTES);
    if (pump->epoll < 0 || pump->stop < 0 || pump->received == NULL)
        return false;
    for (int i = 0; i < RECEIVE_BATCH; i++) {
        struct msghdr *header = &pump->messages[i].msg_hdr;
        pump->pieces[i].iov_base = pump->received + (size_t)i * RECEIVE_BYTES;
        pump->pieces[i].iov_len = RECEIVE_BYTES;
        header->msg_iov = &pump->pieces[i];
        header->msg_iovlen = 1;
        header->msg_name = &pump->sources[i];
        header->msg_control = pump->control[i].bytes;
    }
    const struct pump_files *files = &pump->files;
    return watch(pump, EPOLL_CTL_ADD, pump->stop, STOP, EPOLLIN) &&
           watch(pump, EPOLL_CTL_ADD, files->tun, TUN, EPOLLIN) &&
           (files->udp_v4 < 0 || watch(pump, EPOLL_CTL_ADD, files->udp_v4, UDP_V4, EPOLLIN)) &&
           (files->udp_v6 < 0 || watch(pump, EPOLL_CTL_ADD, files->udp_v6, UDP_V6, EPOLLIN));
}

struct pump *pump_start(struct path *path, struct pump_findings *findings, int reader,
                        struct pump_files files)
{
    struct pump *pump = calloc(1, sizeof(*pump));
    if (pump == NULL)
        return NULL;
    pump->epoll = pump->stop = -1;
    pump->files = files;
    pump->findings = findings;
    errno = ENOMEM;
    if (!worker_init(&pump->worker, path, reader)) {
        pump_free(pump);
        return NULL;
    }
    pump->worker.send_runs = send_runs;
    pump->worker.context = pump;
    coalescer_init(&pump->worker.coalescer, write_frame, pump);
    pump->worker.coalescer.udp_allowed = atomic_load(&path->udp_frames);
    if (!prepare(pump)) {
        pump_free(pump);
        return NULL;
    }
    /* The thread takes no signals: they are for the control plane. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&pump->thread, NULL, run, pump);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        errno = error;
        pump_free(pump);
        return NULL;
    }
    return pump;
}

void pump_stop(struct pump *pump)
{
    eventfd_write(pump->stop, 1);
    pthread_join(pump->thread, NULL);
    pump_free(pump);
}
