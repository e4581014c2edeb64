/* Products with packed sign matrices, several instruction sets of one source. */
#ifndef UNROLLBIT_SIGNS_H
#define UNROLLBIT_SIGNS_H

#include <stddef.h>
#include <stdint.h>

#include "interface.h"
#include "team.h"

/* `blocks` matrices of (rows, columns), on the diagonal of one large matrix, or a part of one: row after row of
 * `row_bytes` bytes. Column 8 j + k is bit k (least significant first) of byte j; a set bit is -1. Bits past the last
 * column may be anything. `size` bytes can be read from `bits` on. */
typedef struct {
    const uint8_t *bits;
    size_t size, blocks, rows, columns, row_bytes;
} signs_t;

static inline signs_t whole_signs(const uint8_t *bits, size_t blocks, size_t rows, size_t columns)
{
    const size_t row_bytes = (columns + 7) / 8;
    return (signs_t){bits, blocks * rows * row_bytes, blocks, rows, columns, row_bytes};
}

/* out = S x (transpose: S^T x) for `batch` vectors, which start x_stride and out_stride floats after each other. Parts
 * of what is produced that start at multiples of PART_ROWS (transpose: PART_COLUMNS), and are at least as large, have the
 * same bits if they are computed alone; so have parts of the batch that start at multiples of PART_VECTORS. */
typedef void signs_product(const signs_t *signs, int transpose, const float *x, size_t x_stride, size_t batch, float *out,
                           size_t out_stride);

enum {
    PART_ROWS = 64,
    PART_COLUMNS = 512,
    PART_VECTORS = 64,
};

/* The same for vectors that lie side by side, in parts by the threads of a team. */
void signs_product_shared(const team_t *team, signs_product *product, const signs_t *signs, int transpose, const float *x,
                          size_t batch, float *out);

typedef struct {
    float *scratch;
    const float *constants;
    const uint8_t *const *bits; /* by argument */
    signs_product *product;
    const team_t *team;
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
#if defined(__aarch64__)
signs_product signs_product_neon;
run_tape run_tape_neon;
#endif

#endif
