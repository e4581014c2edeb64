/* out += factor A x for blocks of floats along the diagonal. */
static void floats_add(int32_t blocks, int32_t rows, int32_t columns, const float *matrix, float factor, const float *x,
                       float *out)
{
    for (int32_t i = 0; i < (blocks * rows); i++) {
        const float *const row = &matrix[i * columns];
        const float *const input = &x[(i / rows) * columns];
        float sum = 0.0f;
        for (int32_t j = 0; j < columns; j++) {
            sum += row[j] * input[j];
        }
        out[i] += factor * sum;
    }
}

/* out += factor A^T r */
static void floats_transposed_add(int32_t blocks, int32_t rows, int32_t columns, const float *matrix, float factor,
                                  const float *r, float *out)
{
    for (int32_t i = 0; i < (blocks * rows); i++) {
        const float *const row = &matrix[i * columns];
        float *const output = &out[(i / rows) * columns];
        const float value = factor * r[i];
        for (int32_t j = 0; j < columns; j++) {
            output[j] += row[j] * value;
        }
    }
}

/* The place of an index on an axis: modulo its length, or -1 outside. */
static int32_t place_on(int32_t index, int32_t side, int32_t wraps)
{
    int32_t place = index;
    if ((place < 0) || (place >= side)) {
        place %= side;
        if (place < 0) {
            place += side;
        }
        place = (wraps != 0) ? place : -1;
    }
    return place;
}

/*
 * out[i] += factor sum_k taps[k] x[stride i + lower + k] on two axes, or the transpose of that. grid: sides, counts,
 * lower, taps of either axis, stride, whether x is periodic (else 0 outside).
 */
static void correlation_add(const int32_t *grid, const float *taps, int32_t transposed, float factor, const float *x,
                            float *out)
{
    for (int32_t a = 0; a < grid[2]; a++) {
        for (int32_t b = 0; b < grid[3]; b++) {
            const int32_t i = (a * grid[3]) + b;
            float sum = 0.0f;
            for (int32_t p = 0; p < grid[6]; p++) {
                const int32_t row = place_on((grid[8] * a) + grid[4] + p, grid[0], grid[9]);
                for (int32_t q = 0; q < grid[7]; q++) {
                    const int32_t column = place_on((grid[8] * b) + grid[5] + q, grid[1], grid[9]);
                    if ((row >= 0) && (column >= 0)) {
                        const int32_t j = (row * grid[1]) + column;
                        const float tap = taps[(p * grid[7]) + q];
                        if (transposed != 0) {
                            out[j] += tap * (factor * x[i]);
                        } else {
                            sum += tap * x[j];
                        }
                    }
                }
            }
            if (transposed == 0) {
                out[i] += factor * sum;
            }
        }
    }
}

/* out += factor R x, or of the transpose: sums of the columns of an image that is turned by each angle. */
static void radon_add(int32_t size, int32_t angles, const float *cosines, const float *sines, int32_t transposed,
                      float factor, const float *x, float *out)
{
    const float centre = (float)(size / 2);
    for (int32_t k = 0; k < angles; k++) {
        for (int32_t i = 0; i < size; i++) {
            for (int32_t j = 0; j < size; j++) {
                const float across = (float)(j - (size / 2));
                const float down = (float)(i - (size / 2));
                const float row = (centre + (cosines[k] * down)) - (sines[k] * across);
                const float column = (centre + (sines[k] * down)) + (cosines[k] * across);
                const float top = floorf(row);
                const float left = floorf(column);
                for (int32_t corner = 0; corner < 4; corner++) {
                    const float p = top + (float)(corner / 2);
                    const float q = left + (float)(corner % 2);
                    if ((p >= 0.0f) && (p < (float)size) && (q >= 0.0f) && (q < (float)size)) {
                        const float weight = (1.0f - fabsf(row - p)) * (1.0f - fabsf(column - q));
                        const int32_t pixel = ((int32_t)p * size) + (int32_t)q;
                        if (transposed != 0) {
                            out[pixel] += weight * (factor * x[(k * size) + j]);
                        } else {
                            out[(k * size) + j] += weight * (factor * x[pixel]);
                        }
                    }
                }
            }
        }
    }
}

/* out += factor A x, or of the transpose, for a matrix whose row i has the entries starts[i] to starts[i + 1] - 1. */
static void listed_add(int32_t rows, const Place *starts, const Place *columns, const float *entries,
                       int32_t transposed, float factor, const float *x, float *out)
{
    for (int32_t i = 0; i < rows; i++) {
        float sum = 0.0f;
        for (int32_t k = (int32_t)starts[i]; k < (int32_t)starts[i + 1]; k++) {
            if (transposed != 0) {
                out[columns[k]] += entries[k] * (factor * x[i]);
            } else {
                sum += entries[k] * x[columns[k]];
            }
        }
        if (transposed == 0) {
            out[i] += factor * sum;
        }
    }
}
