/* Work that is cut into parts, which this thread and others take one after the other. */
#ifndef UNROLLBIT_TEAM_H
#define UNROLLBIT_TEAM_H

#include <stddef.h>

/* Threads that can be had, this one among them; begin() has one more of them run task(data), at some time, and is false
 * where it cannot. */
typedef struct {
    size_t threads;
    int (*begin)(const void *lender, void (*task)(void *data), void *data);
    const void *lender;
} team_t;

typedef void part_t(void *work, size_t index);

/* part(work, index) for every index below `parts`, in any order; returns when all are done. What the others do not begin,
 * this thread does: it never waits for a thread that has not come yet. */
void share(const team_t *team, part_t *part, void *work, size_t parts);

#endif
