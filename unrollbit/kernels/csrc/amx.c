/* Tiles of bytes for several vectors; what fewer need is left to the sixteen lanes. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "signs.h"

#if defined(UNROLLBIT_AMX)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,fma,amx-tile,amx-int8"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,fma,amx-tile,amx-int8")
#endif

#define LANES 16
#define TOGETHER 64
#define GROUP 1
#define NAME(function) function##_tiles
#define MAXIMUM(a, b) ((fvec)_mm512_max_ps((__m512)(a), (__m512)(b)))

enum { FEWEST = 16 }; /* vectors: fewer are faster by the sixteen lanes */

#include "matrix.inc"
#include "quantum.inc"
#include "tiles.inc"
#include "digits_amx.inc"

static void several(const signs_t *S, int transpose, const float *x, size_t x_stride, size_t count, float *out,
                    size_t out_stride, work_t *work)
{
    if (count >= FEWEST && (transpose ? transpose_tiles : forward_tiles)(S, x, x_stride, count, out, out_stride, work))
        return;
    signs_product_avx512(S, transpose, x, x_stride, count, out, out_stride);
}

static signs_product signs_product_tiles;
#include "product.inc"

void signs_product_amx(const signs_t *signs, int transpose, const float *x, size_t x_stride, size_t batch, float *out,
                       size_t out_stride)
{
    (batch < FEWEST ? signs_product_avx512 : signs_product_tiles)(signs, transpose, x, x_stride, batch, out, out_stride);
}

/* Whether the processor has tiles and the system lets this process use them; Linux is asked, once. */
int amx_is_permitted(void)
{
    static _Atomic int answer = -1;
    if (answer >= 0) return answer;
    int permitted = 0;
#if defined(__linux__)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    const unsigned tiles_of_bytes = 3u << 24;  /* AMX-TILE, AMX-INT8 */
    unsigned a, b, c, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tiles_of_bytes) == tiles_of_bytes)
        permitted = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#endif
    return answer = permitted;
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
