/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Send small datagrams as an application does, or count those that arrive.
 *
 *   udp_blast paced|batches ADDRESS PORT BYTES RATE SECONDS   prints SENT SECONDS
 *   udp_blast count                  prints PORT, and RECEIVED when its stdin ends
 *
 * Both senders sleep at least 50 us between calls, to leave the cores to the tunnel.
 * "paced" makes one call for each datagram. If it cannot keep up, it sends less than asked and
 * never makes up for it. A burst after a pause would be lost in queues that can carry the rate.
 * "batches" passes up to 64 datagrams in one call, and sends late datagrams at once. So a pause
 * leads to a burst, as with a server that answers everything that came while it did not run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define NAP_NS 50000LL
#define FORGIVEN_NS 1000000LL /* datagrams that are later than this are never sent */
#define MAX_BYTES 1400
#define BATCH 64
#define QUIET_MS 100 /* after so long without a datagram, none is on its way */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_until(long long when)
{
    struct timespec at = {.tv_sec = when / NS_PER_S, .tv_nsec = when % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static int udp_socket(int buffer_option)
{
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int bytes = 8 << 20;
    if (made < 0)
        die("socket");
    /* Root may exceed net.core.[rw]mem_max. */
    if (setsockopt(made, SOL_SOCKET, buffer_option, &bytes, sizeof(bytes)) != 0)
        die("setsockopt");
    return made;
}

static int send_in_batches(const struct sockaddr_in *to, size_t bytes, double rate, double seconds)
{
    static char payload[MAX_BYTES];
    struct iovec piece = {.iov_base = payload, .iov_len = bytes};
    struct mmsghdr messages[BATCH];
    int out = udp_socket(SO_SNDBUFFORCE);
    long long sent = 0, started = now_ns(), now = started;
    long long end = started + (long long)(seconds * (double)NS_PER_S);
    if (connect(out, (const struct sockaddr *)to, sizeof(*to)) != 0)
        die("connect");
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &piece;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (; now < end; now = now_ns()) {
        long long due = (long long)((double)(now - started) / (double)NS_PER_S * rate) - sent;
        if (due < 1)
            sleep_until(now + NAP_NS);
        while (due > 0) {
            int taken = sendmmsg(out, messages, due < BATCH ? (unsigned)due : BATCH, 0);
            if (taken < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
                die("sendmmsg");
            if (taken <= 0)
                break;
            sent += taken;
            due -= taken;
        }
    }
    printf("%lld %.6f\n", sent, (double)(now_ns() - started) / (double)NS_PER_S);
    return 0;
}

static int send_paced(const struct sockaddr_in *to, size_t bytes, double rate, double seconds)
{
    static const char payload[MAX_BYTES];
    int out = udp_socket(SO_SNDBUFFORCE);
    double gap = (double)NS_PER_S / rate;
    long long sent = 0, started, end, now;
    double due_at; /* when the next datagram leaves */

    prctl(PR_SET_TIMERSLACK, 1UL);
    started = now = now_ns();
    end = started + (long long)(seconds * (double)NS_PER_S);
    due_at = (double)started;
    while (now < end) {
        for (int i = 0; i < BATCH && due_at <= (double)now; i++, due_at += gap) {
            if (sendto(out, payload, bytes, 0, (const struct sockaddr *)to, sizeof(*to)) >= 0)
                sent++;
            else if (errno != ENOBUFS && errno != ECONNREFUSED)
                die("sendto");
        }
        now = now_ns();
        if (due_at < (double)(now - FORGIVEN_NS))
            due_at = (double)(now - FORGIVEN_NS);
        if (due_at > (double)now) {
            long long nap = now + NAP_NS;
            sleep_until((double)nap > due_at ? nap : (long long)due_at);
            now = now_ns();
        }
    }
    printf("%lld %.6f\n", sent, (double)(now_ns() - started) / (double)NS_PER_S);
    return 0;
}

static int count(void)
{
    static char buffer[BATCH][MAX_BYTES];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t length = sizeof(here);
    int in = udp_socket(SO_RCVBUFFORCE);
    struct pollfd files[] = {{.fd = in, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    long long received = 0;
    int ending = 0;
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){.iov_base = buffer[i], .iov_len = MAX_BYTES};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    if (bind(in, (const struct sockaddr *)&here, sizeof(here)) != 0 ||
        getsockname(in, (struct sockaddr *)&here, &length) != 0)
        die("bind");
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        int taken = recvmmsg(in, messages, BATCH, MSG_DONTWAIT, NULL);
        if (taken > 0) {
            received += taken;
            continue;
        }
        if (poll(files, ending ? 1 : 2, ending ? QUIET_MS : -1) == 0)
            break;
        ending = ending || files[1].revents != 0;
    }
    printf("%lld\n", received);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "count") == 0)
        return count();
    if (argc == 7) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(argv[3]))};
        size_t bytes = (size_t)atoi(argv[4]);
        double rate = atof(argv[5]), seconds = atof(argv[6]);
        int known = inet_pton(AF_INET, argv[2], &to.sin_addr) == 1 && bytes <= MAX_BYTES && rate > 0;
        if (known && strcmp(argv[1], "paced") == 0)
            return send_paced(&to, bytes, rate, seconds);
        if (known && strcmp(argv[1], "batches") == 0)
            return send_in_batches(&to, bytes, rate, seconds);
    }
    fputs("udp_blast paced|batches ADDRESS PORT BYTES RATE SECONDS | udp_blast count\n", stderr);
    return 2;
}
