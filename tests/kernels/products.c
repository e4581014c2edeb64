/* Products of random shapes in buffers of exact size, for sanitisers: prints nothing and returns 0 if all are right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "signs.h"

static unsigned state = 1;

static unsigned draw(unsigned limit)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % limit;
}

static int check(signs_product *product, size_t blocks, size_t rows, size_t columns, size_t batch, int transpose)
{
    const size_t bytes = (columns + 7) / 8, in = transpose ? rows : columns, made = transpose ? columns : rows;
    uint8_t *bits = malloc(blocks * rows * bytes);
    float *x = malloc(batch * blocks * in * sizeof *x), *out = malloc(batch * blocks * made * sizeof *out);
    for (size_t i = 0; i < blocks * rows * bytes; i++) bits[i] = (uint8_t)draw(256);
    for (size_t i = 0; i < batch * blocks * in; i++) x[i] = (float)draw(2001) / 1000.0f - 1.0f;
    const signs_t signs = {bits, blocks, rows, columns};
    product(&signs, transpose, x, batch, out);
    int wrong = 0;
    for (size_t v = 0; v < batch; v++)
        for (size_t b = 0; b < blocks; b++)
            for (size_t o = 0; o < made; o++) {
                double sum = 0;
                for (size_t i = 0; i < in; i++) {
                    const size_t row = transpose ? i : o, column = transpose ? o : i;
                    const int bit = bits[(b * rows + row) * bytes + column / 8] >> column % 8 & 1;
                    sum += (bit ? -1.0 : 1.0) * x[v * blocks * in + b * in + i];
                }
                const double found = out[v * blocks * made + b * made + o];
                if (!(fabs(found - sum) <= 1e-5 * sqrt((double)in) + 1e-6)) wrong = 1;
            }
    if (wrong) fprintf(stderr, "wrong: %zu blocks of %zu x %zu, batch %zu, %d\n", blocks, rows, columns, batch, transpose);
    free(bits);
    free(x);
    free(out);
    return wrong;
}

int main(int count, char **arguments)
{
    signs_product *product = signs_product_plain;
#if defined(__x86_64__)
    if (count > 1 && arguments[1][0] == 'a') product = arguments[1][3] == '2' ? signs_product_avx2 : signs_product_avx512;
#endif
    int wrong = 0;
    for (int trial = 0; trial < 300; trial++) {
        const size_t blocks = 1 + draw(3), rows = 1 + draw(90), columns = 1 + draw(600);
        wrong |= check(product, blocks, rows, columns, 1 + draw(19), (int)draw(2));
    }
    for (int transpose = 0; transpose < 2; transpose++)
        for (size_t batch = 1; batch < 5; batch += 3) { /* more than a panel, a strip, a height */
            wrong |= check(product, 1, 35, 8300, batch, transpose);
            wrong |= check(product, 1, 1100, 70, batch, transpose);
        }
    return wrong;
}
