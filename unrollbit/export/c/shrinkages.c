/* Soft: sign(u) max(|u| - t, 0) */
static void soft_prepare(float *c, float tau, float threshold)
{
    c[0] = tau * threshold;
}

static float soft(const float *c, float u)
{
    return u - fminf(fmaxf(u, -c[0]), c[0]);
}

static float soft_slope(const float *c, float u)
{
    return (fabsf(u) > c[0]) ? 1.0f : 0.0f;
}

/* Hard: u where |u| > t, else 0 */
static float hard(const float *c, float u)
{
    return (fabsf(u) > c[0]) ? u : 0.0f;
}

/* NonNegative: max(u - t, 0) */
static float non_negative(const float *c, float u)
{
    return fmaxf(u - c[0], 0.0f);
}

static float non_negative_slope(const float *c, float u)
{
    return ((u - c[0]) > 0.0f) ? 1.0f : 0.0f;
}

/* Firm: sign(u) min(gain max(|u| - t, 0), |u|) */
static void firm_prepare(float *c, float tau, float threshold, float width)
{
    const float wide = fmaxf(width, 1e-6f * threshold);
    c[0] = tau * threshold;
    c[1] = 1.0f + (threshold / ((wide > 0.0f) ? wide : 1.0f));
}

static float firm(const float *c, float u)
{
    const float size = fminf(c[1] * fmaxf(fabsf(u) - c[0], 0.0f), fabsf(u));
    return (u > 0.0f) ? size : ((u < 0.0f) ? -size : 0.0f);
}

static float firm_slope(const float *c, float u)
{
    const float risen = c[1] * fmaxf(fabsf(u) - c[0], 0.0f);
    return (risen < fabsf(u)) ? ((risen > 0.0f) ? c[1] : 0.0f) : 1.0f;
}

/* Box: min(max(u, lower), upper) */
static void box_prepare(float *c, float tau, float lower, float upper)
{
    (void)tau;
    c[0] = lower;
    c[1] = upper;
}

static float box(const float *c, float u)
{
    return fminf(fmaxf(u, c[0]), c[1]);
}

static float box_slope(const float *c, float u)
{
    return ((u > c[0]) && (u < c[1])) ? 1.0f : 0.0f;
}

/* Identity: u */
static void identity_prepare(float *c, float tau)
{
    (void)c;
    (void)tau;
}

static float identity(const float *c, float u)
{
    (void)c;
    return u;
}

static float identity_slope(const float *c, float u)
{
    (void)c;
    (void)u;
    return 1.0f;
}

/* BernoulliGaussian: u w / (1 + exp(-z)), z = gain w (u / (d t))^2 / 2 - log_odds - log(1 + 1 / t^2) / 2 */
static void bernoulli_gaussian_prepare(float *c, float tau, float gain, float log_odds, float noise, float variance)
{
    const float d = sqrtf(variance);
    const float t = fminf(fmaxf((noise * tau) / d, 1e-6f), 1e18f);
    const float w = 1.0f / (1.0f + (t * t));
    c[0] = d;
    c[1] = t;
    c[2] = w;
    c[3] = gain * w;
    c[4] = log_odds + (log1pf(1.0f / (t * t)) / 2.0f);
}

static float bernoulli_gaussian_ratio(const float *c, float u)
{
    return fminf(fmaxf((u / c[0]) / c[1], -1e12f), 1e12f);
}

static float bernoulli_gaussian_share(const float *c, float ratio)
{
    return 1.0f / (1.0f + expf(c[4] - (((c[3] * ratio) * ratio) / 2.0f)));
}

static float bernoulli_gaussian(const float *c, float u)
{
    return (u * c[2]) * bernoulli_gaussian_share(c, bernoulli_gaussian_ratio(c, u));
}

static float bernoulli_gaussian_slope(const float *c, float u)
{
    const float ratio = bernoulli_gaussian_ratio(c, u);
    const float share = bernoulli_gaussian_share(c, ratio);
    return (c[2] * share) * (1.0f + (((1.0f - share) * c[3]) * (ratio * ratio)));
}

/* GroupSoft: u_g max(1 - t / |u_g|, 0) for groups of consecutive entries */
static void group_soft(int32_t n, int32_t size, float t, float *u)
{
    for (int32_t first = 0; first < n; first += size) {
        const float norm = root_mean_square(size, &u[first]) * sqrtf((float)size);
        const float factor = (norm > 0.0f) ? fmaxf(1.0f - (t / norm), 0.0f) : 0.0f;
        for (int32_t j = first; j < (first + size); j++) {
            u[j] *= factor;
        }
    }
}

/* The magnitude that `count` entries exceed, or fewer where several have it. */
static float border_of(int32_t n, int32_t count, const float *u)
{
    float border = INFINITY;
    int32_t above = 0;
    while (above <= count) { /* every round takes at least one entry: at most count + 1 rounds */
        float next = 0.0f;
        int32_t same = 0;
        for (int32_t j = 0; j < n; j++) {
            const float size = fabsf(u[j]);
            if (size < border) {
                if (size > next) {
                    next = size;
                    same = 1;
                } else if (size == next) {
                    same++;
                } else {
                    /* smaller */
                }
            }
        }
        border = next;
        above += same;
        if (same == 0) {
            break;
        }
    }
    return border;
}

/* SupportSelection: u where |u| > t and |u| is among the `share` per cent largest, else soft */
static void support_selection(int32_t n, float t, float share, float *u)
{
    const float wanted = rintf((share * (float)n) / 100.0f);
    const int32_t count = (wanted < (float)n) ? (int32_t)wanted : n;
    const float border = (count < n) ? border_of(n, count, u) : 0.0f;
    for (int32_t j = 0; j < n; j++) {
        const float size = fabsf(u[j]);
        if (!((size > t) && (size > border))) {
            u[j] = u[j] - fminf(fmaxf(u[j], -t), t);
        }
    }
}
