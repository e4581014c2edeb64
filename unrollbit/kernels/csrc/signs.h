/* Products with packed sign matrices, several instruction sets of one source. */
#ifndef UNROLLBIT_SIGNS_H
#define UNROLLBIT_SIGNS_H

#include <stddef.h>
#include <stdint.h>

/* `blocks` matrices of (rows, columns), on the diagonal of one large matrix. Row after row of bytes: column 8 j + k is
 * bit k (least significant first) of byte j; a set bit is -1. Padding bits may be anything. */
typedef struct {
    const uint8_t *bits;
    size_t blocks, rows, columns;
} signs_t;

/* out = S x (transpose: S^T x) for `batch` vectors of blocks * columns (blocks * rows) floats, one after the other. */
typedef void signs_product(const signs_t *signs, int transpose, const float *x, size_t batch, float *out);

signs_product signs_product_plain;
#if defined(__x86_64__)
signs_product signs_product_avx2;
signs_product signs_product_avx512;
#endif

#endif
