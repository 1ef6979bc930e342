/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

#include "worker.h"

#include <stdlib.h>

enum { PADDING_ROOM = 64 };

bool worker_init(struct worker *worker, struct path *path, int reader)
{
    memset(worker, 0, sizeof(*worker));
    worker->path = path;
    worker->reader = reader;
    worker->aead = aead_new();
    worker->frame = malloc(MAX_FRAME + PADDING_ROOM);
    worker->out = malloc(OUT_BYTES);
    if (worker->aead != NULL && worker->frame != NULL && worker->out != NULL)
        return true;
    worker_free(worker);
    return false;
}

void worker_free(struct worker *worker)
{
    aead_free(worker->aead);
    free(worker->frame);
    free(worker->out);
    worker->aead = NULL;
    worker->frame = worker->out = NULL;
}
