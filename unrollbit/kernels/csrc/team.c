/* Threads that take parts of a piece of work. */
#include "team.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Threads that come late find it as long as they hold it. */
typedef struct {
    atomic_size_t next, done, holders;
    size_t parts;
    part_t *part;
    void *work;
} job_t;

enum { SPINS = 4096 }; /* until a thread that waits lets others run: some ten microseconds */

static void take_parts(job_t *job)
{
    for (size_t i; (i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->parts;) {
        job->part(job->work, i);
        atomic_fetch_add_explicit(&job->done, 1, memory_order_release);
    }
}

static void let_go(job_t *job)
{
    if (atomic_fetch_sub_explicit(&job->holders, 1, memory_order_acq_rel) == 1) free(job);
}

static void help(void *data)
{
    take_parts(data);
    let_go(data);
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void share(const team_t *team, part_t *part, void *work, size_t parts)
{
    const size_t threads = team->threads < parts ? team->threads : parts;
    job_t *job = threads > 1 ? malloc(sizeof *job) : NULL;
    if (!job) {
        for (size_t i = 0; i < parts; i++) part(work, i);
        return;
    }
    *job = (job_t){.holders = threads, .parts = parts, .part = part, .work = work};
    for (size_t others = 1; others < threads; others++)
        if (!team->begin(team->lender, help, job)) let_go(job);
    take_parts(job);
    for (int spins = 0; atomic_load_explicit(&job->done, memory_order_acquire) < parts; spins++)
        if (spins < SPINS)
            pause_briefly();
        else
            sched_yield();
    let_go(job);
}
