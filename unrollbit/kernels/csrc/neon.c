/* ARM64: digits of fixed-point sums by look-ups of bytes, which every such processor has. Instructions for dot products
 * would not save any: after a look-up one addition is left, of pairs of bytes to sums of 16 bits. */
#include "signs.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define LANES 4
#define TOGETHER 16
#define GROUP 4
#define NAME(function) function##_neon
#define PERMUTE(table, index) permuted(table, index)
#define EXCHANGE(values, order) ((order) == 0xb1 ? (fvec)vrev64q_f32((float32x4_t)(values)) : exchanged_pairs(values))
#define MAXIMUM(a, b) ((fvec)vmaxq_f32((float32x4_t)(a), (float32x4_t)(b)))

#include "matrix.inc"

static inline fvec permuted(fvec table, uvec index)
{
    return (fvec)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)(index * 0x04040404u + 0x03020100u));
}

static inline fvec exchanged_pairs(fvec values)
{
    return (fvec)vextq_f32((float32x4_t)values, (float32x4_t)values, 2);
}

#include "quantum.inc"
#include "digits_neon.inc"

#define OTHERWISE signs_product_plain
#include "several.inc"
#include "product.inc"
#include "tape.inc"

#endif
