/* The place of an index on an axis that goes on beyond its ends: 0 symmetric, 1 reflected, 2 periodic, 3 zero (-1). */
static int32_t place_beyond(int32_t index, int32_t side, int32_t edge)
{
    int32_t place = index;
    if (index < 0) {
        place = (edge == 0) ? (-1 - index) : ((edge == 1) ? -index : ((edge == 2) ? (index + side) : -1));
    } else if (index >= side) {
        place = (edge == 0) ? ((2 * side) - 1 - index)
                            : ((edge == 1) ? ((2 * side) - 2 - index) : ((edge == 2) ? (index - side) : -1));
    } else {
        /* inside */
    }
    return place;
}

/* sum_j slopes[j] clip(z, -knots[j], knots[j]); entries of a channel are `step` apart. */
static float influence(int32_t count, int32_t slope_step, const float *slopes, int32_t knot_step, const float *knots,
                       float z)
{
    float sum = 0.0f;
    for (int32_t j = 0; j < count; j++) {
        const float knot = knots[j * knot_step];
        sum += slopes[j * slope_step] * fminf(fmaxf(z, -knot), knot);
    }
    return sum;
}

/* Whether a window lies in the image. */
static int32_t is_inside(const int32_t *grid, int32_t top, int32_t left)
{
    return ((top >= 0) && (left >= 0) && ((top + grid[2]) <= grid[0]) && ((left + grid[3]) <= grid[1])) ? 1 : 0;
}

/* The sum of the pixels of a window times taps. */
static float filtered(const int32_t *grid, int32_t top, int32_t left, const float *taps, const float *image)
{
    const int32_t inside = is_inside(grid, top, left);
    float sum = 0.0f;
    for (int32_t p = 0; p < grid[2]; p++) {
        const float *const own = &taps[p * grid[3]];
        const int32_t row = (inside != 0) ? (top + p) : place_beyond(top + p, grid[0], grid[5]);
        if (inside != 0) {
            const float *const line = &image[(row * grid[1]) + left];
            for (int32_t q = 0; q < grid[3]; q++) {
                sum += own[q] * line[q];
            }
        } else if (row >= 0) {
            for (int32_t q = 0; q < grid[3]; q++) {
                const int32_t column = place_beyond(left + q, grid[1], grid[5]);
                sum += (column >= 0) ? (own[q] * image[(row * grid[1]) + column]) : 0.0f;
            }
        } else {
            /* zeros */
        }
    }
    return sum;
}

/* Add a value times taps to the pixels of a window. */
static void spread(const int32_t *grid, int32_t top, int32_t left, const float *taps, float value, float *image)
{
    const int32_t inside = is_inside(grid, top, left);
    for (int32_t p = 0; p < grid[2]; p++) {
        const float *const own = &taps[p * grid[3]];
        const int32_t row = (inside != 0) ? (top + p) : place_beyond(top + p, grid[0], grid[5]);
        if (inside != 0) {
            float *const line = &image[(row * grid[1]) + left];
            for (int32_t q = 0; q < grid[3]; q++) {
                line[q] += own[q] * value;
            }
        } else if (row >= 0) {
            for (int32_t q = 0; q < grid[3]; q++) {
                const int32_t column = place_beyond(left + q, grid[1], grid[5]);
                if (column >= 0) {
                    image[(row * grid[1]) + column] += own[q] * value;
                }
            }
        } else {
            /* zeros */
        }
    }
}

/*
 * out += tau K^T phi(K v / tau) for a bank K of filters, phi_c(z) = (1 / channels) sum_j slopes[j, c] clip(z, knots[j, c]).
 * grid: height and width of the image, taps down and across, channels, edge, bits of a code, entries of phi, whether
 * each channel has slopes of its own, and knots. Taps are values[c, code], without codes (0 bits) values[c, tap]. taps:
 * work for those of a filter.
 */
static void prior_add(const int32_t *grid, const uint8_t *codes, const float *values, const float *slopes,
                      const float *knots, float tau, const float *v, float *out, float *taps)
{
    const int32_t size = grid[2] * grid[3];
    const int32_t channels = grid[4];
    const int32_t bits = grid[6];
    const int32_t width = ((size * bits) + 7) / 8;
    const int32_t kinds = (bits == 0) ? size : (int32_t)(1U << (uint32_t)bits);
    const int32_t slope_step = (grid[8] != 0) ? channels : 1;
    const int32_t knot_step = (grid[9] != 0) ? channels : 1;
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t t = 0; t < size; t++) {
            int32_t code = t;
            if (bits != 0) {
                const uint32_t byte = codes[(c * width) + ((t * bits) / 8)];
                code = (int32_t)((byte >> (uint32_t)((t * bits) % 8)) & (uint32_t)(kinds - 1));
            }
            taps[t] = values[(c * kinds) + code];
        }
        for (int32_t i = 0; i < (grid[0] * grid[1]); i++) {
            const int32_t top = (i / grid[1]) - ((grid[2] - 1) / 2);
            const int32_t left = (i % grid[1]) - ((grid[3] - 1) / 2);
            float z = filtered(grid, top, left, taps, v);
            z = influence(grid[7], slope_step, &slopes[(grid[8] != 0) ? c : 0], knot_step,
                          &knots[(grid[9] != 0) ? c : 0], z / tau);
            z *= tau / (float)channels;
            spread(grid, top, left, taps, z, out);
        }
    }
}

/* The noise of an image by its second differences along both axes, or along the one of a signal. */
static float noise_of(int32_t height, int32_t width, const float *x)
{
    static const float weights[3] = {1.0f, -2.0f, 1.0f};
    const int32_t down = (height > 1) ? 3 : 1;
    const int32_t rows = height - down + 1;
    float sum = 0.0f;
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t j = 0; j < (width - 2); j++) {
            float difference = 0.0f;
            for (int32_t a = 0; a < down; a++) {
                for (int32_t b = 0; b < 3; b++) {
                    const float weight = (down == 3) ? (weights[a] * weights[b]) : weights[b];
                    difference += weight * x[((i + a) * width) + j + b];
                }
            }
            sum += fabsf(difference);
        }
    }
    return sqrtf(1.57079632679f / ((down == 3) ? 36.0f : 6.0f)) * (sum / (float)(rows * (width - 2)));
}

/* level^alpha (sqrt(correction^2 + (floor level)^2) / share)^beta */
static float prior_threshold(float level, float correction, float share, float alpha, float beta, float least)
{
    const float size = (level > 0.0f) ? level : 1.0f;
    return powf(size, alpha) * powf(hypotf(correction, least * size) / share, beta);
}
