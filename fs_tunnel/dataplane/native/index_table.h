/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* The keypairs by session index: a hash table with one writer and many readers. */
#ifndef FS_INDEX_TABLE_H
#define FS_INDEX_TABLE_H

#include "epoch.h"

struct keypair;
struct index_slots;

struct index_table {
    _Atomic(struct index_slots *) slots;
};

/* Returns the keypair of an index; NULL if there is none. */
struct keypair *index_table_get(struct index_table *table, uint32_t index);

/* Adds an index that must not be there.  Returns false without memory; then nothing has changed. */
bool index_table_add(struct index_table *table, struct epochs *epochs, uint32_t index,
                     struct keypair *keypair);
void index_table_remove(struct index_table *table, uint32_t index);
void index_table_free(struct index_table *table);

#endif
