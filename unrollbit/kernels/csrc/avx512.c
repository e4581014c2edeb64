/* Sixteen lanes: four bits select one of sixteen signed sums (vpermps on zmm registers). */
#include "signs.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,fma")
#endif

#define LANES 16
#define NAME(function) function##_avx512
#define PERMUTE(table, index) ((fvec)_mm512_permutexvar_ps((__m512i)(index), (__m512)(table)))

#include "lanes.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
