/* Products of random shapes in buffers of exact size, for sanitisers: prints nothing and returns 0 if all are right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signs.h"

static unsigned state = 1;

static unsigned draw(unsigned limit)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % limit;
}

static int none_comes(const void *lender, void (*task)(void *), void *data)
{
    (void)lender, (void)task, (void)data;
    return 0;
}

static int check(signs_product *product, size_t blocks, size_t rows, size_t columns, size_t batch, int transpose)
{
    const size_t bytes = (columns + 7) / 8, in = transpose ? rows : columns, made = transpose ? columns : rows;
    uint8_t *bits = malloc(blocks * rows * bytes);
    float *x = malloc(batch * blocks * in * sizeof *x), *out = malloc(batch * blocks * made * sizeof *out);
    for (size_t i = 0; i < blocks * rows * bytes; i++) bits[i] = (uint8_t)draw(256);
    for (size_t i = 0; i < batch * blocks * in; i++) x[i] = (float)draw(2001) / 1000.0f - 1.0f;
    float *odd = draw(4) ? NULL : x + draw((unsigned)batch) * blocks * in; /* a vector of other sizes, or of one NaN */
    const float factor = draw(2) ? 1e30f : 1e-30f;
    for (size_t i = 0; odd && i < blocks * in; i++) odd[i] *= factor;
    const size_t lost = odd && !draw(2) ? draw((unsigned)(blocks * in)) : SIZE_MAX;
    if (lost != SIZE_MAX) odd[lost] = NAN;
    const signs_t signs = whole_signs(bits, blocks, rows, columns);
    const team_t team = {1 + draw(5), none_comes, NULL}; /* large products are cut into parts */
    signs_product_shared(&team, product, &signs, transpose, x, batch, out);
    int wrong = 0;
    for (size_t v = 0; v < batch; v++)
        for (size_t b = 0; b < blocks; b++)
            for (size_t o = 0; o < made; o++) {
                const double size = x + v * blocks * in == odd ? factor : 1.0;
                double sum = 0;
                for (size_t i = 0; i < in; i++) {
                    const size_t row = transpose ? i : o, column = transpose ? o : i;
                    const int bit = bits[(b * rows + row) * bytes + column / 8] >> column % 8 & 1;
                    sum += (bit ? -1.0 : 1.0) * x[v * blocks * in + b * in + i];
                }
                const double found = out[v * blocks * made + b * made + o];
                const int same = isnan(sum) ? isnan(found) : fabs(found - sum) <= (1e-5 * sqrt((double)in) + 1e-6) * size;
                if (!same) wrong = 1;
            }
    if (wrong) fprintf(stderr, "wrong: %zu blocks of %zu x %zu, batch %zu, %d\n", blocks, rows, columns, batch, transpose);
    free(bits);
    free(x);
    free(out);
    return wrong;
}

/* A tape in buffers of exact size: a transform, entries taken from it, their sums and maxima, and a product with signs. */
static int check_tape(run_tape *run, signs_product *product, int64_t n, int64_t rows)
{
    const int64_t bytes = (n + 7) / 8, all = 3 * rows * n + 4 * rows;
    uint8_t *bits = malloc((size_t)(rows * bytes));
    float *scratch = malloc((size_t)all * sizeof *scratch), *constants = malloc((size_t)(rows * n) * sizeof *constants);
    int32_t *index = (int32_t *)constants;
    for (int64_t i = 0; i < rows * bytes; i++) bits[i] = (uint8_t)draw(256);
    for (int64_t i = 0; i < rows * n; i++) scratch[i] = (float)draw(201) - 100.0f;
    for (int64_t i = 0; i < rows * n; i++) index[i] = (int32_t)draw((unsigned)(rows * n) + 1) - 1;
    const instruction_t tape[] = {
        {TAPE_HADAMARD, rows * n, rows, {0}, {0}, {n}},
        {TAPE_TAKE, 2 * rows * n, rows * n, {rows * n, -1}, {0}, {rows * n}},
        {TAPE_LOGISTIC, 2 * rows * n, rows * n, {2 * rows * n, 0}, {1, 0}, {0}},
        {TAPE_SUM, 3 * rows * n, rows, {2 * rows * n}, {0}, {n}},
        {TAPE_SIGNS, 3 * rows * n + rows, 1, {0}, {0}, {0, 0, 1, rows, n, 0}},
        {TAPE_MAXIMUM, 3 * rows * n + 2 * rows, rows, {2 * rows * n}, {0}, {n}},
        {TAPE_BINADE, 3 * rows * n + 3 * rows, rows, {3 * rows * n + 2 * rows, 0}, {1, 0}, {0}},
    };
    const uint8_t *matrices[] = {bits};
    const team_t alone = {.threads = 1};
    const places_t places = {scratch, constants, matrices, product, &alone};
    run(tape, sizeof tape / sizeof *tape, &places);
    int wrong = 0;
    for (int64_t row = 0; row < rows; row++) {
        double sum = 0, taken = 0;
        float most = 0;
        for (int64_t i = 0; i < n; i++) {
            double coefficient = 0;
            for (int64_t k = 0; k < n; k++)
                coefficient += (__builtin_popcountll((unsigned long long)(i & k)) & 1 ? -1 : 1) * scratch[row * n + k];
            if (scratch[rows * n + row * n + i] != (float)coefficient) wrong = 1;
            if (scratch[2 * rows * n + row * n + i] > most) most = scratch[2 * rows * n + row * n + i];
            const int32_t from = index[row * n + i];
            taken += 1 / (1 + exp(from < 0 ? 0.0 : -(double)scratch[rows * n + from]));
            sum += (bits[row * bytes + i / 8] >> i % 8 & 1 ? -1.0 : 1.0) * scratch[i];
        }
        if (!(fabs(scratch[3 * rows * n + row] - taken) <= 1e-5 * (double)n)) wrong = 1;
        if (scratch[3 * rows * n + rows + row] != (float)sum) wrong = 1;
        int exponent;
        const float power = scratch[3 * rows * n + 3 * rows + row];
        if (scratch[3 * rows * n + 2 * rows + row] != most || frexpf(power, &exponent) != 0.5f) wrong = 1;
        if (!(power <= 1.5f * most && most <= 1.5f * power)) wrong = 1;
    }
    if (wrong) fprintf(stderr, "wrong: a tape of %d rows of %d\n", (int)rows, (int)n);
    free(bits);
    free(scratch);
    free(constants);
    return wrong;
}

int main(int count, char **arguments)
{
    signs_product *product = signs_product_plain;
    run_tape *run = run_tape_plain;
    const char *level = count > 1 ? arguments[1] : "plain";
#if defined(__aarch64__)
    if (!strcmp(level, "neon")) {
        product = signs_product_neon;
        run = run_tape_neon;
    }
#elif defined(__x86_64__)
    if (!strcmp(level, "avx2")) {
        product = signs_product_avx2;
        run = run_tape_avx2;
    } else if (strcmp(level, "plain")) { /* avx512, amx, emulated: amx with its tiles in plain C */
        product = signs_product_avx512;
        run = run_tape_avx512;
    }
#if defined(UNROLLBIT_AMX)
    if (!strcmp(level, "amx") && !amx_is_permitted()) return 2;
    if (!strcmp(level, "emulated") || !strcmp(level, "amx")) product = signs_product_amx;
#else
    if (!strcmp(level, "emulated") || !strcmp(level, "amx")) return 2;
#endif
#endif
    static const size_t batches[] = {1, 4, 21, 33, 49, 64}; /* of tiles: 0 to 4 sets */
    int wrong = 0;
    const int trials = count > 2 ? atoi(arguments[2]) : 300;
    for (int trial = 0; trial < trials; trial++) {
        const size_t blocks = 1 + draw(3), rows = 1 + draw(90), columns = 1 + draw(600);
        wrong |= check(product, blocks, rows, columns, 1 + draw(trial % 10 ? 19 : 70), (int)draw(2));
    }
    for (int transpose = 0; transpose < 2; transpose++)
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) { /* more than a panel, a strip, a height */
            wrong |= check(product, 1, 35, 8300, batches[i], transpose);
            wrong |= check(product, 1, i < 3 ? 2600 : 5200, 40, batches[i], transpose);
        }
    wrong |= check(product, 1, 4200, 1061, 1, 1); /* panels of rows */
    for (int64_t n = 1; n <= 256; n *= 2) wrong |= check_tape(run, product, n, 1 + (int64_t)draw(5));
    return wrong;
}
