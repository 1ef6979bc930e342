/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Frees memory when no packet thread can read it any more: quiescent-state-based reclamation.
 *
 * There is one writer, the control plane.  It takes things out of the tables and retires them.
 * Each reader says in every turn that it holds nothing, or that it sleeps.  A retired thing is
 * freed when every reader has said so since.  Readers pay one store a turn, and never wait. Source:
 * Hart, McKenney, Brown, Walpole: Performance of memory reclamation for lockless synchronization,
 * section 2.2 (2007).
 */
#ifndef FS_EPOCH_H
#define FS_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_READERS = 64 };

struct retired {
    struct retired *next;
    void *thing;
    void (*release)(void *thing);
    uint64_t epoch;
};

struct epochs {
    _Atomic uint64_t current;
    _Atomic uint64_t seen[MAX_READERS]; /* UINT64_MAX: the reader sleeps, or does not exist */
    struct retired *oldest, **end;
};

void epochs_init(struct epochs *epochs);

/* For a reader: it holds nothing from before this call. */
void epoch_quiescent(struct epochs *epochs, int reader);

/* For a reader: it holds nothing, and touches nothing before it calls `epoch_quiescent`. */
void epoch_asleep(struct epochs *epochs, int reader);

/* For the writer: frees a thing, to which no table leads any more, when nobody reads it.  Without
 * memory to remember the thing, it waits for the readers. */
void epoch_retire(struct epochs *epochs, void *thing, void (*release)(void *thing));

/* For the writer: frees the retired things that nobody reads. */
void epoch_reclaim(struct epochs *epochs);

#endif
