/* Eight lanes: three bits select one of eight signed sums (vpermps on ymm registers). */
#include "signs.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#define FIXED_POINT
#define NAME(function) function##_avx2
#define PERMUTE(table, index) ((fvec)_mm256_permutevar8x32_ps((__m256)(table), (__m256i)(index)))

#include "lanes.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
