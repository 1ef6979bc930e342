/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "udp_send.h"

#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    BATCH = 64,
    NO_SEGMENTATION_SECONDS = 60, /* until UDP_SEGMENT is tried again */
};

/* The messages of one call, and everything that they point to. */
struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
    } control[BATCH];
};

static void *add_control(struct msghdr *header, int level, int type, size_t length)
{
    struct cmsghdr *control =
        (struct cmsghdr *)((uint8_t *)header->msg_control + header->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(length);
    header->msg_controllen += CMSG_SPACE(length);
    return CMSG_DATA(control);
}

static void add_source(struct msghdr *header, const struct endpoint *endpoint)
{
    if (endpoint->remote.family == AF_INET) {
        struct in_pktinfo info = {.ipi_ifindex = (int)endpoint->local_interface};
        memcpy(&info.ipi_spec_dst, endpoint->local, sizeof(info.ipi_spec_dst));
        memcpy(add_control(header, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = endpoint->local_interface};
        memcpy(&info.ipi6_addr, endpoint->local, sizeof(info.ipi6_addr));
        memcpy(add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info,
               sizeof(info));
    }
}

/* Fills message `at` of a batch: `length` bytes of a run, from its first unsent datagram on. */
static void prepare(struct batch *batch, int at, const struct worker *worker,
                    const struct run *run, uint32_t length, bool whole)
{
    struct msghdr *header = &batch->messages[at].msg_hdr;
    batch->pieces[at].iov_base = worker->out + run->offset;
    batch->pieces[at].iov_len = length;
    *header = (struct msghdr){
        .msg_name = (void *)&run->endpoint.remote,
        .msg_namelen = address_length(&run->endpoint.remote),
        .msg_iov = &batch->pieces[at],
        .msg_iovlen = 1,
        .msg_control = batch->control[at].bytes,
    };
    memset(batch->control[at].bytes, 0, sizeof(batch->control[at].bytes));
    if (run->endpoint.has_local)
        add_source(header, &run->endpoint);
    if (whole) {
        uint16_t segment = (uint16_t)run->segment;
        memcpy(add_control(header, SOL_UDP, UDP_SEGMENT, sizeof(segment)), &segment,
               sizeof(segment));
    }
    if (header->msg_controllen == 0)
        header->msg_control = NULL;
}

static int socket_for(const struct pump_files *files, const struct run *run)
{
    return run->endpoint.remote.family == AF_INET ? files->udp_v4 : files->udp_v6;
}

static bool goes_whole(const struct run *run, double now)
{
    return run->count > 1 && now >= load_time(&run->peer->no_segmentation_until);
}

static void consume(struct run *run, uint32_t count)
{
    uint32_t length = count * run->segment < run->length ? count * run->segment : run->length;
    run->offset += length;
    run->length -= length;
    run->count -= count;
}

static void give_up(struct worker *worker, struct run *run, uint32_t count)
{
    uint32_t length = count * run->segment < run->length ? count * run->segment : run->length;
    atomic_fetch_sub_explicit(&run->peer->tx_bytes, length, memory_order_relaxed);
    atomic_fetch_sub_explicit(&run->peer->tx_packets, count, memory_order_relaxed);
    drops_add(&worker->path->drops, DROP_SEND_FAILED, count);
    consume(run, count);
}

/* The local address of a run is gone, or no route leads from it: let the kernel choose another. */
static bool forget_source(struct run *run, int error)
{
    if (!run->endpoint.has_local || (error != EINVAL && error != ENETUNREACH &&
                                     error != EADDRNOTAVAIL && error != ENODEV))
        return false;
    peer_forget_local(run->peer, &run->endpoint);
    endpoint_forget_local(&run->endpoint);
    return true;
}

/* The device or the MTU of a route does not take the whole run; single datagrams may pass. */
static bool stop_sending_whole(struct worker *worker, struct run *run, int error,
                               struct pump_findings *findings)
{
    if (!run->whole || (error != EMSGSIZE && error != EINVAL && error != EIO))
        return false;
    store_time(&run->peer->no_segmentation_until, worker->now + NO_SEGMENTATION_SECONDS);
    add_count(&findings->sends_refused_whole, 1);
    return true;
}

/* Fills a batch for one socket with runs from `first` on; returns how many messages it has. */
static int fill(struct batch *batch, struct worker *worker, int first, int fd,
                const struct pump_files *files)
{
    int filled = 0;
    for (int i = first; i < worker->run_count && filled < BATCH; i++) {
        struct run *run = &worker->runs[i];
        if (socket_for(files, run) != fd)
            break;
        run->whole = goes_whole(run, worker->now);
        if (run->whole) {
            prepare(batch, filled++, worker, run, run->length, true);
            continue;
        }
        struct run rest = *run;
        while (rest.count > 0 && filled < BATCH) {
            uint32_t length = rest.length < rest.segment ? rest.length : rest.segment;
            prepare(batch, filled, worker, &rest, length, false);
            batch->messages[filled++].msg_hdr.msg_name = &run->endpoint.remote;
            consume(&rest, 1);
        }
        if (rest.count > 0)
            break;
    }
    return filled;
}

bool udp_send_runs(struct worker *worker, const struct pump_files *files,
                   struct pump_findings *findings)
{
    struct batch batch;
    int first = 0;
    while (first < worker->run_count) {
        struct run *run = &worker->runs[first];
        if (run->count == 0) {
            first++;
            continue;
        }
        int fd = socket_for(files, run);
        if (fd < 0) {
            give_up(worker, run, run->count);
            continue;
        }
        int filled = fill(&batch, worker, first, fd, files);
        int sent = sendmmsg(fd, batch.messages, (unsigned)filled, 0);
        if (sent > 0) {
            for (int i = 0; i < sent; i++) {
                while (worker->runs[first].count == 0)
                    first++;
                run = &worker->runs[first];
                consume(run, run->whole ? run->count : 1);
            }
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN) {
            /* Move the rest to the front. */
            memmove(worker->runs, run, (size_t)(worker->run_count - first) * sizeof(*run));
            worker->run_count -= first;
            return false;
        }
        int error = errno;
        if (!forget_source(run, error) && !stop_sending_whole(worker, run, error, findings))
            give_up(worker, run, run->whole ? run->count : 1);
    }
    worker->run_count = 0;
    worker->out_used = 0;
    return true;
}
