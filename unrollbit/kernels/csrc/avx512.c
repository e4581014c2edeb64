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

#define OTHERWISE signs_product_avx2 /* eight lanes */
#include "several.inc"
#include "product.inc"
#include "tape.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
