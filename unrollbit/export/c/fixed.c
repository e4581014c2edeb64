/*
 * Round at most 64 entries to 16 bits: x[j] is about the returned unit times fixed[j], which is 0 behind them. The unit
 * is NaN, and fixed 0, where an entry is not finite.
 */
static float rounded_to_16_bits(int32_t count, const float *x, int32_t *fixed)
{
    float largest = 0.0f;
    float unit;
    for (int32_t j = 0; j < count; j++) {
        largest = (isfinite(x[j]) && !isnan(largest)) ? fmaxf(largest, fabsf(x[j])) : NAN;
    }
    unit = largest / 32767.0f;
    for (int32_t j = 0; j < 64; j++) {
        fixed[j] = 0;
    }
    for (int32_t j = 0; (j < count) && (unit > 0.0f); j++) {
        fixed[j] = (int32_t)lrintf(fminf(fmaxf(x[j] / unit, -32767.0f), 32767.0f));
    }
    return unit;
}

/* out += factor S x as `signs_add`, in fixed point: 64 entries of x at a time are rounded, sums of them are exact. */
static void signs_add_fixed(int32_t blocks, int32_t rows, int32_t columns, const uint8_t *bits, float factor,
                            const float *x, float *out)
{
    const int32_t width = (columns + 7) / 8;
    int32_t fixed[64];
    for (int32_t b = 0; b < blocks; b++) {
        for (int32_t first = 0; first < columns; first += 64) {
            const int32_t count = ((columns - first) < 64) ? (columns - first) : 64;
            const float unit = rounded_to_16_bits(count, &x[(b * columns) + first], fixed);
            int32_t total = 0;
            for (int32_t j = 0; j < count; j++) {
                total += fixed[j];
            }
            for (int32_t i = b * rows; i < ((b + 1) * rows); i++) {
                const uint8_t *const row = &bits[(i * width) + (first / 8)];
                uint32_t negative = 0U; /* the sum of the entries whose sign is -1, modulo 2^32 */
                for (int32_t k = 0; k < ((count + 7) / 8); k++) {
                    uint32_t byte = row[k];
                    for (int32_t j = 8 * k; j < ((8 * k) + 8); j++) {
                        negative += (uint32_t)fixed[j] & (0U - (byte & 1U));
                        byte >>= 1;
                    }
                }
                out[i] += (factor * unit) * (float)(total - (2 * (int32_t)negative));
            }
        }
    }
}

/* out += factor S^T r, alike */
static void signs_transposed_add_fixed(int32_t blocks, int32_t rows, int32_t columns, const uint8_t *bits,
                                       float factor, const float *r, float *out)
{
    const int32_t width = (columns + 7) / 8;
    int32_t fixed[64];
    for (int32_t b = 0; b < blocks; b++) {
        for (int32_t first = 0; first < rows; first += 64) {
            const int32_t count = ((rows - first) < 64) ? (rows - first) : 64;
            const float unit = rounded_to_16_bits(count, &r[(b * rows) + first], fixed);
            int32_t total = 0;
            for (int32_t i = 0; i < count; i++) {
                total += fixed[i];
            }
            for (int32_t j = 0; j < columns; j++) {
                const uint8_t *const column = &bits[(((b * rows) + first) * width) + (j / 8)];
                uint32_t negative = 0U;
                for (int32_t i = 0; i < count; i++) {
                    const uint32_t bit = ((uint32_t)column[i * width] >> (uint32_t)(j % 8)) & 1U;
                    negative += (uint32_t)fixed[i] & (0U - bit);
                }
                out[(b * columns) + j] += (factor * unit) * (float)(total - (2 * (int32_t)negative));
            }
        }
    }
}
