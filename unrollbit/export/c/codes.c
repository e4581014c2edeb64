/* Of a bit: looked up, which is faster than a branch where signs are random. */
static float sign_of(uint32_t bits)
{
    static const float signs[2] = {1.0f, -1.0f};
    return signs[bits & 1U];
}

/* The sum of at most 8 entries with the signs of a byte. */
static float signed_sum(int32_t count, uint32_t byte, const float *x)
{
    float sum = 0.0f;
    if (count >= 8) {
        sum = sign_of(byte) * x[0];
        sum += sign_of(byte >> 1) * x[1];
        sum += sign_of(byte >> 2) * x[2];
        sum += sign_of(byte >> 3) * x[3];
        sum += sign_of(byte >> 4) * x[4];
        sum += sign_of(byte >> 5) * x[5];
        sum += sign_of(byte >> 6) * x[6];
        sum += sign_of(byte >> 7) * x[7];
    } else {
        for (int32_t j = 0; j < count; j++) {
            sum += sign_of(byte >> (uint32_t)j) * x[j];
        }
    }
    return sum;
}

/* Add a number with the signs of a byte to at most 8 entries. */
static void signed_add(int32_t count, uint32_t byte, float value, float *out)
{
    if (count >= 8) {
        out[0] += sign_of(byte) * value;
        out[1] += sign_of(byte >> 1) * value;
        out[2] += sign_of(byte >> 2) * value;
        out[3] += sign_of(byte >> 3) * value;
        out[4] += sign_of(byte >> 4) * value;
        out[5] += sign_of(byte >> 5) * value;
        out[6] += sign_of(byte >> 6) * value;
        out[7] += sign_of(byte >> 7) * value;
    } else {
        for (int32_t j = 0; j < count; j++) {
            out[j] += sign_of(byte >> (uint32_t)j) * value;
        }
    }
}

/* out += factor S x for blocks of signs along the diagonal; bit 1, the least significant first, is -1. */
static void signs_add(int32_t blocks, int32_t rows, int32_t columns, const uint8_t *bits, float factor, const float *x,
                      float *out)
{
    const int32_t width = (columns + 7) / 8;
    for (int32_t i = 0; i < (blocks * rows); i++) {
        const uint8_t *const row = &bits[i * width];
        const float *const input = &x[(i / rows) * columns];
        float sum = 0.0f;
        for (int32_t k = 0; k < width; k++) {
            sum += signed_sum(columns - (8 * k), row[k], &input[8 * k]);
        }
        out[i] += factor * sum;
    }
}

/* out += factor S^T r */
static void signs_transposed_add(int32_t blocks, int32_t rows, int32_t columns, const uint8_t *bits, float factor,
                                 const float *r, float *out)
{
    const int32_t width = (columns + 7) / 8;
    for (int32_t i = 0; i < (blocks * rows); i++) {
        const uint8_t *const row = &bits[i * width];
        float *const output = &out[(i / rows) * columns];
        for (int32_t k = 0; k < width; k++) {
            signed_add(columns - (8 * k), row[k], factor * r[i], &output[8 * k]);
        }
    }
}

/* Code number `place` of a row: 8 signs a byte, or 5 (base 3) or 4 (two bits) of -1, 0, 1 a byte. */
static float code_of(int32_t per_byte, const uint8_t *row, int32_t place)
{
    static const uint8_t powers[5] = {1U, 3U, 9U, 27U, 81U};
    static const float values[4] = {0.0f, 1.0f, -1.0f, -1.0f};
    const uint32_t byte = row[place / per_byte];
    const uint32_t at = (uint32_t)(place % per_byte);
    uint32_t digit;
    if (per_byte == 8) {
        digit = 1U + ((byte >> at) & 1U);
    } else if (per_byte == 5) {
        digit = (byte / powers[at]) % 3U;
    } else {
        digit = (byte >> (2U * at)) & 3U;
    }
    return values[digit];
}

/* out += factor T x for blocks of codes along the diagonal. */
static void codes_add(int32_t blocks, int32_t rows, int32_t columns, int32_t per_byte, const uint8_t *codes,
                      float factor, const float *x, float *out)
{
    const int32_t width = (columns + per_byte - 1) / per_byte;
    for (int32_t i = 0; i < (blocks * rows); i++) {
        const float *const input = &x[(i / rows) * columns];
        float sum = 0.0f;
        for (int32_t j = 0; j < columns; j++) {
            sum += code_of(per_byte, &codes[i * width], j) * input[j];
        }
        out[i] += factor * sum;
    }
}

/* out += factor T^T r */
static void codes_transposed_add(int32_t blocks, int32_t rows, int32_t columns, int32_t per_byte, const uint8_t *codes,
                                 float factor, const float *r, float *out)
{
    const int32_t width = (columns + per_byte - 1) / per_byte;
    for (int32_t i = 0; i < (blocks * rows); i++) {
        float *const output = &out[(i / rows) * columns];
        const float value = factor * r[i];
        for (int32_t j = 0; j < columns; j++) {
            output[j] += code_of(per_byte, &codes[i * width], j) * value;
        }
    }
}

/*
 * out += factor (M o T) x, or of the transpose, where the mask M is the Kronecker product of two masks whose rows are
 * runs of columns: run q of a row begins at runs[2 q] and is runs[2 q + 1] long, row i has the runs starts[i] to
 * starts[i + 1] - 1. Only the entries in the mask have codes, row by row. sides: rows and columns of either mask.
 */
static void masked_add(const int32_t *sides, const Place *outer_starts, const Place *outer_runs,
                       const Place *inner_starts, const Place *inner_runs, int32_t per_byte, const uint8_t *codes,
                       int32_t transposed, float factor, const float *x, float *out)
{
    const int32_t rows = sides[0] * sides[2];
    int32_t place = 0;
    for (int32_t i = 0; i < rows; i++) {
        const int32_t above = i / sides[2];
        const int32_t below = i % sides[2];
        float sum = 0.0f;
        for (int32_t p = (int32_t)outer_starts[above]; p < (int32_t)outer_starts[above + 1]; p++) {
            const int32_t first = (int32_t)outer_runs[2 * p];
            const int32_t last = first + (int32_t)outer_runs[(2 * p) + 1];
            for (int32_t j = first; j < last; j++) {
                for (int32_t q = (int32_t)inner_starts[below]; q < (int32_t)inner_starts[below + 1]; q++) {
                    const int32_t begin = (j * sides[3]) + (int32_t)inner_runs[2 * q];
                    const int32_t end = begin + (int32_t)inner_runs[(2 * q) + 1];
                    for (int32_t column = begin; column < end; column++) {
                        const float code = code_of(per_byte, codes, place);
                        if (transposed != 0) {
                            out[column] += (factor * x[i]) * code;
                        } else {
                            sum += code * x[column];
                        }
                        place++;
                    }
                }
            }
        }
        if (transposed == 0) {
            out[i] += factor * sum;
        }
    }
}

/*
 * out += factor S x_b for every block x_b of an image, or the transpose. grid: height and width of the image, side of a
 * block, number of patterns; a row of S has the pixels of a block row by row.
 */
static void patterns_add(const int32_t *grid, const uint8_t *signs, int32_t transposed, float factor, const float *x,
                         float *out)
{
    const int32_t size = grid[2];
    const int32_t width = ((size * size) + 7) / 8;
    const int32_t across = grid[1] / size;
    for (int32_t b = 0; b < ((grid[0] / size) * across); b++) {
        const int32_t corner = ((b / across) * size * grid[1]) + ((b % across) * size);
        for (int32_t p = 0; p < grid[3]; p++) {
            const int32_t i = (b * grid[3]) + p;
            float sum = 0.0f;
            for (int32_t k = 0; k < (size * size); k++) {
                const int32_t j = corner + ((k / size) * grid[1]) + (k % size);
                const float sign = sign_of((uint32_t)signs[(p * width) + (k / 8)] >> (uint32_t)(k % 8));
                if (transposed != 0) {
                    out[j] += sign * (factor * x[i]);
                } else {
                    sum += sign * x[j];
                }
            }
            if (transposed == 0) {
                out[i] += factor * sum;
            }
        }
    }
}
