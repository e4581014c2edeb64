/* Any processor. */
#include "signs.h"

#define LANES 8
#define TOGETHER LANES
#define NAME(function) function##_plain
#define PERMUTE(table, index) permuted(table, index)

typedef float table_t __attribute__((vector_size(32)));
typedef uint32_t index_t __attribute__((vector_size(32)));

static inline table_t permuted(table_t table, index_t index)
{
    table_t result;
    for (int lane = 0; lane < 8; lane++) result[lane] = table[index[lane] & 7];
    return result;
}

#include "floats.inc"
#include "many.inc"

typedef char work_t; /* nothing */

static void several(const signs_t *S, int transpose, const float *x, size_t x_stride, size_t count, float *out,
                    size_t out_stride, work_t *work)
{
    (void)work;
    if (count > 2)
        (transpose ? transpose_many : forward_many)(S, x, x_stride, count, out, out_stride);
    else
        for (size_t v = 0; v < count; v++)
            (transpose ? transpose_one : forward_one)(S, x + v * x_stride, out + v * out_stride);
}

#include "product.inc"
#include "tape.inc"
