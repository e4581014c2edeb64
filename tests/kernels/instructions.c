/* One product, packed or in float32, `repeats` times, for counting instructions:
 * packed|float rows columns batch transpose repeats. */
#include <stdlib.h>
#include <string.h>

#include "signs.h"

/* Loops that the compiler makes vectors of. */
static void multiply(const float *restrict W, const float *restrict x, size_t rows, size_t columns, int transpose,
                     float *restrict out)
{
    if (transpose) memset(out, 0, columns * sizeof *out);
    for (size_t row = 0; row < rows; row++, W += columns) {
        float sum = 0;
        if (transpose)
            for (size_t i = 0; i < columns; i++) out[i] += W[i] * x[row];
        else
            for (size_t i = 0; i < columns; i++) sum += W[i] * x[i];
        if (!transpose) out[row] = sum;
    }
}

int main(int count, char **arguments)
{
    if (count != 7) return 2;
    const size_t rows = (size_t)atoi(arguments[2]), columns = (size_t)atoi(arguments[3]), batch = (size_t)atoi(arguments[4]);
    const int packed = !strcmp(arguments[1], "packed"), transpose = atoi(arguments[5]), repeats = atoi(arguments[6]);
    const size_t in = transpose ? rows : columns, made = transpose ? columns : rows;
    uint8_t *bits = calloc(rows, (columns + 7) / 8);
    float *W = calloc(rows, columns * sizeof *W), *x = calloc(batch, in * sizeof *x), *out = calloc(batch, made * sizeof *out);
    if (!bits || !W || !x || !out) return 3;
    for (size_t i = 0; i < batch * in; i++) x[i] = (float)(i % 17) - 8.0f;
    const signs_t signs = whole_signs(bits, 1, rows, columns);
    for (int i = 0; i < repeats; i++) {
        if (packed)
            signs_product_neon(&signs, transpose, x, in, batch, out, made);
        else
            for (size_t v = 0; v < batch; v++) multiply(W, x + v * in, rows, columns, transpose, out + v * made);
    }
    return 0;
}
