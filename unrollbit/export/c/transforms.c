/* x times +1, or -1 where a bit is 1 */
static void flip(int32_t n, const uint8_t *bits, float *x)
{
    for (int32_t j = 0; j < n; j++) {
        x[j] *= sign_of((uint32_t)bits[j / 8] >> (uint32_t)(j % 8));
    }
}

/* x = H x, H Sylvester's matrix of n rows, a power of two */
static void hadamard(int32_t n, float *x)
{
    for (int32_t order = 1; order < n; order *= 2) {
        for (int32_t first = 0; first < n; first += 2 * order) {
            for (int32_t j = first; j < (first + order); j++) {
                const float a = x[j];
                const float b = x[j + order];
                x[j] = a + b;
                x[j + order] = a - b;
            }
        }
    }
}

/*
 * The orthonormal DCT-II of a line, or its inverse. cosines[q] = cos(pi q / (2 side)), 4 side of them. line: work of
 * side floats.
 */
static void dct_line(int32_t side, int32_t step, const float *cosines, int32_t inverse, float *x, float *line)
{
    const float first = sqrtf(1.0f / (float)side);
    const float other = sqrtf(2.0f / (float)side);
    for (int32_t i = 0; i < side; i++) {
        line[i] = x[i * step];
    }
    for (int32_t i = 0; i < side; i++) {
        float sum = 0.0f;
        for (int32_t j = 0; j < side; j++) {
            const int32_t frequency = (inverse != 0) ? j : i;
            const int32_t time = (inverse != 0) ? i : j;
            const float cosine = cosines[(frequency * ((2 * time) + 1)) % (4 * side)];
            sum += (((inverse != 0) && (j == 0)) ? first : (((inverse == 0) && (i == 0)) ? first : other)) * cosine *
                   line[j];
        }
        x[i * step] = sum;
    }
}

/* The same along both axes of an image. */
static void dct(int32_t height, int32_t width, const float *down, const float *across, int32_t inverse, float *x,
                float *line)
{
    for (int32_t i = 0; i < height; i++) {
        dct_line(width, 1, across, inverse, &x[i * width], line);
    }
    for (int32_t j = 0; (height > 1) && (j < width); j++) {
        dct_line(height, width, down, inverse, &x[j], line);
    }
}

/*
 * The unitary DFT of a line of complex numbers, or its inverse. cosines[q] = cos(2 pi q / side), sines alike. line:
 * work of 2 side floats.
 */
static void dft_line(int32_t side, int32_t step, const float *cosines, const float *sines, float direction, float *real,
                     float *imaginary, float *line)
{
    const float scale = sqrtf(1.0f / (float)side);
    for (int32_t i = 0; i < side; i++) {
        line[i] = real[i * step];
        line[side + i] = imaginary[i * step];
    }
    for (int32_t i = 0; i < side; i++) {
        float a = 0.0f;
        float b = 0.0f;
        for (int32_t j = 0; j < side; j++) {
            const float cosine = cosines[(i * j) % side];
            const float sine = direction * sines[(i * j) % side];
            a += (cosine * line[j]) - (sine * line[side + j]);
            b += (sine * line[j]) + (cosine * line[side + j]);
        }
        real[i * step] = scale * a;
        imaginary[i * step] = scale * b;
    }
}

/* The same along both axes of an image; tables: cosines, then sines of an axis. */
static void dft(int32_t height, int32_t width, const float *down, const float *across, float direction, float *real,
                float *imaginary, float *line)
{
    for (int32_t i = 0; i < height; i++) {
        dft_line(width, 1, across, &across[width], direction, &real[i * width], &imaginary[i * width], line);
    }
    for (int32_t j = 0; (height > 1) && (j < width); j++) {
        dft_line(height, width, down, &down[height], direction, &real[j], &imaginary[j], line);
    }
}

/* One level of a periodic wavelet transform of a line, in place: low half, then high half. line: work of side floats. */
static void split_line(int32_t side, int32_t step, int32_t taps, const float *bank, float *x, float *line)
{
    const int32_t half = side / 2;
    for (int32_t i = 0; i < side; i++) {
        line[i] = x[i * step];
    }
    for (int32_t i = 0; i < half; i++) {
        float low = 0.0f;
        float high = 0.0f;
        for (int32_t k = 0; k < taps; k++) {
            const float value = line[((2 * i) + 1 - (taps / 2) + k + (taps * side)) % side];
            low += bank[k] * value;
            high += bank[taps + k] * value;
        }
        x[i * step] = low;
        x[(half + i) * step] = high;
    }
}

/* Its inverse. */
static void merge_line(int32_t side, int32_t step, int32_t taps, const float *bank, float *x, float *line)
{
    const int32_t half = side / 2;
    for (int32_t i = 0; i < side; i++) {
        line[i] = x[i * step];
        x[i * step] = 0.0f;
    }
    for (int32_t i = 0; i < half; i++) {
        for (int32_t k = 0; k < taps; k++) {
            const int32_t place = ((2 * i) + 1 - (taps / 2) + k + (taps * side)) % side;
            x[place * step] += (bank[k] * line[i]) + (bank[taps + k] * line[half + i]);
        }
    }
}

/* Copy a part of an image to a list, or back. */
static int32_t copy_part(int32_t width, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t back,
                         float *image, float *list)
{
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t j = 0; j < columns; j++) {
            float *const pixel = &image[((top + i) * width) + left + j];
            float *const entry = &list[(i * columns) + j];
            if (back != 0) {
                *pixel = *entry;
            } else {
                *entry = *pixel;
            }
        }
    }
    return rows * columns;
}

/* The coefficients of an image in the order of a list, coarse to fine, or back. */
static void wavelet_order(int32_t height, int32_t width, int32_t levels, int32_t back, float *image, float *list)
{
    const int32_t plane = (height > 1) ? 1 : 0;
    int32_t rows = (plane != 0) ? (height >> levels) : 1;
    int32_t columns = width >> levels;
    int32_t at = copy_part(width, 0, 0, rows, columns, back, image, list);
    for (int32_t level = 0; level < levels; level++) {
        if (plane != 0) {
            at += copy_part(width, rows, 0, rows, columns, back, image, &list[at]);
        }
        at += copy_part(width, 0, columns, rows, columns, back, image, &list[at]);
        if (plane != 0) {
            at += copy_part(width, rows, columns, rows, columns, back, image, &list[at]);
            rows *= 2;
        }
        columns *= 2;
    }
}

/* Coefficients to the image that they make, both in `list`; image, line: work. */
static void wavelet_synthesis(int32_t height, int32_t width, int32_t levels, int32_t taps, const float *bank,
                              float *list, float *image, float *line)
{
    wavelet_order(height, width, levels, 1, image, list);
    for (int32_t level = levels - 1; level >= 0; level--) {
        const int32_t rows = (height > 1) ? (height >> level) : 1;
        const int32_t columns = width >> level;
        for (int32_t j = 0; (height > 1) && (j < columns); j++) {
            merge_line(rows, width, taps, bank, &image[j], line);
        }
        for (int32_t i = 0; i < rows; i++) {
            merge_line(columns, 1, taps, bank, &image[i * width], line);
        }
    }
    (void)copy_part(width, 0, 0, height, width, 0, image, list);
}

/* Its inverse, and transpose. */
static void wavelet_analysis(int32_t height, int32_t width, int32_t levels, int32_t taps, const float *bank,
                             float *list, float *image, float *line)
{
    (void)copy_part(width, 0, 0, height, width, 1, image, list);
    for (int32_t level = 0; level < levels; level++) {
        const int32_t rows = (height > 1) ? (height >> level) : 1;
        const int32_t columns = width >> level;
        for (int32_t i = 0; i < rows; i++) {
            split_line(columns, 1, taps, bank, &image[i * width], line);
        }
        for (int32_t j = 0; (height > 1) && (j < columns); j++) {
            split_line(rows, width, taps, bank, &image[j], line);
        }
    }
    wavelet_order(height, width, levels, 0, image, list);
}
