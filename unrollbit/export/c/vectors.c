/* out = 0 */
static void zero(int32_t n, float *out)
{
    for (int32_t j = 0; j < n; j++) {
        out[j] = 0.0f;
    }
}

/* out += factor x */
static void add(int32_t n, float factor, const float *x, float *out)
{
    for (int32_t j = 0; j < n; j++) {
        out[j] += factor * x[j];
    }
}

/* out += factor diag(d) x */
static void diagonal_add(int32_t n, const float *d, float factor, const float *x, float *out)
{
    for (int32_t j = 0; j < n; j++) {
        out[j] += (factor * d[j]) * x[j];
    }
}

/* out[i] += factor x[kept[i]] */
static void gather_add(int32_t m, const Place *kept, float factor, const float *x, float *out)
{
    for (int32_t i = 0; i < m; i++) {
        out[i] += factor * x[kept[i]];
    }
}

/* out[kept[i]] += factor r[i] */
static void scatter_add(int32_t m, const Place *kept, float factor, const float *r, float *out)
{
    for (int32_t i = 0; i < m; i++) {
        out[kept[i]] += factor * r[i];
    }
}

/* A power of two near the largest magnitude, 1 for zeros: in it squares stay in range. */
static float unit_of(int32_t n, const float *x)
{
    float largest = 0.0f;
    int exponent = 0;
    for (int32_t j = 0; j < n; j++) {
        largest = fmaxf(largest, fabsf(x[j]));
    }
    if (!(largest > 0.0f) || isinf(largest)) {
        return 1.0f;
    }
    (void)frexpf(largest, &exponent);
    exponent = (exponent < -126) ? -126 : ((exponent > 126) ? 126 : exponent);
    return ldexpf(1.0f, exponent);
}

/* sum[0] += term; sum[1] is what rounding has added to it so far (Kahan's summation). */
static void accumulate(float term, float *sum)
{
    const float corrected = term - sum[1];
    const float total = sum[0] + corrected;
    sum[1] = (total - sum[0]) - corrected;
    sum[0] = total;
}

/* sqrt(mean x^2) */
static float root_mean_square(int32_t n, const float *x)
{
    const float unit = unit_of(n, x);
    float sum[2] = {0.0f, 0.0f};
    for (int32_t j = 0; j < n; j++) {
        const float part = x[j] / unit;
        accumulate(part * part, sum);
    }
    return unit * sqrtf(sum[0] / (float)n);
}

/* clip(round(x s), -largest - 1, largest) / s, s = largest / max |x| */
static void quantise(int32_t n, float largest, float *x)
{
    float size = 0.0f;
    float scale;
    for (int32_t j = 0; j < n; j++) {
        size = fmaxf(size, fabsf(x[j]));
    }
    scale = largest / ((size > 0.0f) ? size : 1.0f);
    for (int32_t j = 0; j < n; j++) {
        x[j] = fminf(fmaxf(rintf(x[j] * scale), -largest - 1.0f), largest) / scale;
    }
}

/* (x - mean) / sqrt(variance + 1e-5 mean x^2) */
static void normalise(int32_t n, float *x)
{
    const float unit = unit_of(n, x);
    float mean[2] = {0.0f, 0.0f};
    float variance[2] = {0.0f, 0.0f};
    float squares[2] = {0.0f, 0.0f};
    float square;
    for (int32_t j = 0; j < n; j++) {
        x[j] /= unit;
        accumulate(x[j] / (float)n, mean);
    }
    for (int32_t j = 0; j < n; j++) {
        const float centred = x[j] - mean[0];
        accumulate(centred * centred, variance);
        accumulate(x[j] * x[j], squares);
        x[j] = centred;
    }
    square = (variance[0] / (float)n) + (1e-5f * (squares[0] / (float)n));
    for (int32_t j = 0; j < n; j++) {
        x[j] /= sqrtf((square > 0.0f) ? square : 1.0f);
    }
}
