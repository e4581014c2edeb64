/* Products with packed sign matrices, several instruction sets of one source. */
#ifndef UNROLLBIT_SIGNS_H
#define UNROLLBIT_SIGNS_H

#include <stddef.h>
#include <stdint.h>

#include "interface.h"

/* `blocks` matrices of (rows, columns), on the diagonal of one large matrix. Row after row of bytes: column 8 j + k is
 * bit k (least significant first) of byte j; a set bit is -1. Padding bits may be anything. */
typedef struct {
    const uint8_t *bits;
    size_t blocks, rows, columns;
} signs_t;

/* out = S x (transpose: S^T x) for `batch` vectors of blocks * columns (blocks * rows) floats, one after the other. */
typedef void signs_product(const signs_t *signs, int transpose, const float *x, size_t batch, float *out);

typedef struct {
    float *scratch;
    const float *constants;
    const uint8_t *const *bits; /* by argument */
    signs_product *product;
} places_t;

typedef void run_tape(const instruction_t *tape, size_t length, const places_t *places);

signs_product signs_product_plain;
run_tape run_tape_plain;
#if defined(__x86_64__)
signs_product signs_product_avx2, signs_product_avx512;
run_tape run_tape_avx2, run_tape_avx512;
#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
#define UNROLLBIT_AMX
signs_product signs_product_amx;
int amx_is_permitted(void);
#endif
#endif

#endif
