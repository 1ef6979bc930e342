/* When memory that packet threads may still read can be freed: quiescent-state-based reclamation.
 *
 * One writer (the control plane) takes things out of the tables and retires them.  Each reader says
 * now and then that it holds nothing, or sleeps; a thing is freed once every reader has said so
 * since.  Readers pay one store a turn, and never wait.
 * Source: Hart, McKenney, Brown, Walpole: Performance of memory reclamation for lockless
 * synchronization, section 2.2 (2007).
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
    _Atomic uint64_t seen[MAX_READERS]; /* UINT64_MAX: sleeps, or does not exist */
    struct retired *oldest, **end;
};

void epochs_init(struct epochs *epochs);

/* Reader: it holds nothing from before. */
void epoch_quiescent(struct epochs *epochs, int reader);

/* Reader: it holds nothing, and touches nothing until `epoch_quiescent`. */
void epoch_asleep(struct epochs *epochs, int reader);

/* Writer: free a thing when nobody reads it, which no table leads to any more.  Without memory to
 * remember it, waits for the readers. */
void epoch_retire(struct epochs *epochs, void *thing, void (*release)(void *thing));

/* Writer: free what can be freed. */
void epoch_reclaim(struct epochs *epochs);

#endif
