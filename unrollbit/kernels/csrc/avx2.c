/* Eight lanes: digits of fixed-point sums by byte shuffles for one vector, tables in cache for several. */
#include "signs.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#define TOGETHER LANES
#define GROUP 4
#define NAME(function) function##_avx2
#define PERMUTE(table, index) ((fvec)_mm256_permutevar8x32_ps((__m256)(table), (__m256i)(index)))
#define EXCHANGE(values, order) ((fvec)_mm256_permute_ps((__m256)(values), order))
#define MAXIMUM(a, b) ((fvec)_mm256_max_ps((__m256)(a), (__m256)(b)))

enum { FEW = 5 }; /* vectors that are multiplied one by one */

#include "floats.inc"
#include "many.inc"
#include "quantum.inc"
#include "digits_avx2.inc"

/* A vector that cannot be had in fixed point is multiplied in floats. */
static void several(const signs_t *S, int transpose, const float *x, size_t x_stride, size_t count, float *out,
                    size_t out_stride, work_t *work)
{
    if (count > FEW) {
        (transpose ? transpose_many : forward_many)(S, x, x_stride, count, out, out_stride);
        return;
    }
    for (size_t v = 0; v < count; v++) {
        const float *from = x + v * x_stride;
        float *into = out + v * out_stride;
        if (!(transpose ? transpose_digits : forward_digits)(S, from, into, work))
            (transpose ? transpose_one : forward_one)(S, from, into);
    }
}

#include "product.inc"
#include "tape.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
