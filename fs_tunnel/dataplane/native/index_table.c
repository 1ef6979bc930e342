/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "index_table.h"

#include "keypair.h"

#include <stdlib.h>

enum { SMALLEST = 64 };

/* Open addressing; indices are random, so they need no hash.  A removed entry is replaced by
 * `removed` until the table is made anew, so that a reader's probe does not end early. */
struct index_slots {
    uint32_t mask;
    uint32_t used; /* with removed entries */
    uint32_t alive;
    _Atomic(struct keypair *) at[];
};

static struct keypair removed;

struct keypair *index_table_get(struct index_table *table, uint32_t index)
{
    struct index_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
    if (slots == NULL)
        return NULL;
    for (uint32_t place = index;; place++) {
        struct keypair *keypair =
            atomic_load_explicit(&slots->at[place & slots->mask], memory_order_acquire);
        if (keypair == NULL)
            return NULL;
        if (keypair != &removed && keypair->local_index == index)
            return keypair;
    }
}

static void put(struct index_slots *slots, uint32_t index, struct keypair *keypair)
{
    uint32_t place = index;
    while (atomic_load_explicit(&slots->at[place & slots->mask], memory_order_relaxed) != NULL)
        place++;
    atomic_store_explicit(&slots->at[place & slots->mask], keypair, memory_order_release);
    slots->used++;
    slots->alive++;
}

static struct index_slots *grow(struct index_slots *old)
{
    uint32_t size = SMALLEST;
    while (old != NULL && size < 4 * (old->alive + 1))
        size *= 2;
    struct index_slots *slots = calloc(1, sizeof(*slots) + size * sizeof(slots->at[0]));
    if (slots == NULL)
        return NULL;
    slots->mask = size - 1;
    for (uint32_t i = 0; old != NULL && i <= old->mask; i++) {
        struct keypair *keypair = atomic_load_explicit(&old->at[i], memory_order_relaxed);
        if (keypair != NULL && keypair != &removed)
            put(slots, keypair->local_index, keypair);
    }
    return slots;
}

bool index_table_add(struct index_table *table, struct epochs *epochs, uint32_t index,
                     struct keypair *keypair)
{
    struct index_slots *slots = atomic_load(&table->slots);
    if (slots == NULL || 2 * (slots->used + 1) > slots->mask) {
        struct index_slots *grown = grow(slots);
        if (grown == NULL)
            return false;
        atomic_store_explicit(&table->slots, grown, memory_order_release);
        if (slots != NULL)
            epoch_retire(epochs, slots, free);
        slots = grown;
    }
    put(slots, index, keypair);
    return true;
}

void index_table_remove(struct index_table *table, uint32_t index)
{
    struct index_slots *slots = atomic_load(&table->slots);
    for (uint32_t place = index; slots != NULL; place++) {
        struct keypair *keypair = atomic_load(&slots->at[place & slots->mask]);
        if (keypair == NULL)
            return;
        if (keypair != &removed && keypair->local_index == index) {
            atomic_store_explicit(&slots->at[place & slots->mask], &removed,
                                  memory_order_release);
            slots->alive--;
            return;
        }
    }
}

void index_table_free(struct index_table *table)
{
    free(atomic_load(&table->slots));
    atomic_store(&table->slots, NULL);
}
