/* Any processor, and the check of the sixteen-lane source where the instructions for it are missing. */
#include "signs.h"

#define LANES 16
#define NAME(function) function##_plain
#define PERMUTE(table, index) permuted(table, index)

typedef float table_t __attribute__((vector_size(64)));
typedef uint32_t index_t __attribute__((vector_size(64)));

static inline table_t permuted(table_t table, index_t index)
{
    table_t result;
    for (int lane = 0; lane < 16; lane++) result[lane] = table[index[lane] & 15];
    return result;
}

#include "lanes.inc"
