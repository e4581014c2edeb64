/* Sixteen lanes: digits of fixed-point sums by byte permutations and dot products, for any number of vectors. */
#include "signs.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,fma")
#endif

#define LANES 16
#define TOGETHER LANES
#define GROUP 4
#define NAME(function) function##_avx512
#define PERMUTE(table, index) ((fvec)_mm512_permutexvar_ps((__m512i)(index), (__m512)(table)))
#define EXCHANGE(values, order) ((fvec)_mm512_permute_ps((__m512)(values), order))
#define MAXIMUM(a, b) ((fvec)_mm512_max_ps((__m512)(a), (__m512)(b)))

#include "matrix.inc"
#include "quantum.inc"
#include "digits_avx512.inc"

/* A vector that cannot be had in fixed point is left to the eight lanes, and does not disturb the others. */
static void several(const signs_t *S, int transpose, const float *x, size_t x_stride, size_t count, float *out,
                    size_t out_stride, work_t *work)
{
    int (*const digits)(const signs_t *, const float *, size_t, size_t, float *, size_t, work_t *) =
        transpose ? transpose_digits : forward_digits;
    if (digits(S, x, x_stride, count, out, out_stride, work)) return;
    for (size_t v = 0; v < count; v++) {
        const float *from = x + v * x_stride;
        float *into = out + v * out_stride;
        if (count == 1 || !digits(S, from, x_stride, 1, into, out_stride, work))
            signs_product_avx2(S, transpose, from, x_stride, 1, into, out_stride);
    }
}

#include "product.inc"
#include "tape.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
