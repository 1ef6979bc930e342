/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "epoch.h"

#include <sched.h>
#include <stdlib.h>

void epochs_init(struct epochs *epochs)
{
    atomic_init(&epochs->current, 1);
    for (int i = 0; i < MAX_READERS; i++)
        atomic_init(&epochs->seen[i], UINT64_MAX);
    epochs->oldest = NULL;
    epochs->end = &epochs->oldest;
}

void epoch_quiescent(struct epochs *epochs, int reader)
{
    /* Sequentially consistent: later loads of the reader see nothing older than this epoch. */
    atomic_store(&epochs->seen[reader], atomic_load(&epochs->current));
}

void epoch_asleep(struct epochs *epochs, int reader)
{
    atomic_store(&epochs->seen[reader], UINT64_MAX);
}

static uint64_t oldest_seen(struct epochs *epochs)
{
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < MAX_READERS; i++) {
        uint64_t seen = atomic_load(&epochs->seen[i]);
        if (seen < oldest)
            oldest = seen;
    }
    return oldest;
}

void epoch_retire(struct epochs *epochs, void *thing, void (*release)(void *thing))
{
    uint64_t epoch = atomic_fetch_add(&epochs->current, 1) + 1;
    struct retired *retired = malloc(sizeof(*retired));
    if (retired == NULL) {
        while (oldest_seen(epochs) < epoch)
            sched_yield();
        release(thing);
        return;
    }
    *retired = (struct retired){.thing = thing, .release = release, .epoch = epoch};
    *epochs->end = retired;
    epochs->end = &retired->next;
}

void epoch_reclaim(struct epochs *epochs)
{
    if (epochs->oldest == NULL)
        return;
    uint64_t seen = oldest_seen(epochs);
    while (epochs->oldest != NULL && epochs->oldest->epoch <= seen) {
        struct retired *retired = epochs->oldest;
        epochs->oldest = retired->next;
        if (epochs->oldest == NULL)
            epochs->end = &epochs->oldest;
        retired->release(retired->thing);
        free(retired);
    }
}
