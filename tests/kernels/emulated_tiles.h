/* Tiles of AMX in plain C, for processors without them: included before everything else, in place of the instructions. */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int configured;
    uint16_t bytes[8];
    uint8_t rows[8], data[8][16][64];
} emulated;

static void emulated_config(const uint8_t *config)
{
    if (emulated.configured || config[0] != 1 || config[1] != 0) abort();
    emulated.configured = 1;
    for (int i = 0; i < 8; i++) {
        memcpy(&emulated.bytes[i], config + 16 + 2 * i, 2);
        emulated.rows[i] = config[48 + i];
        if (emulated.rows[i] > 16 || emulated.bytes[i] > 64) abort();
    }
    memset(emulated.data, 0, sizeof emulated.data);
}

static void emulated_load(int tile, const void *from, long stride)
{
    if (!emulated.configured) abort();
    memset(emulated.data[tile], 0, sizeof emulated.data[tile]);
    for (int r = 0; r < emulated.rows[tile]; r++)
        memcpy(emulated.data[tile][r], (const char *)from + r * stride, emulated.bytes[tile]);
}

static void emulated_store(int tile, void *to, long stride)
{
    if (!emulated.configured) abort();
    for (int r = 0; r < emulated.rows[tile]; r++)
        memcpy((char *)to + r * stride, emulated.data[tile][r], emulated.bytes[tile]);
}

/* sums[m][n] += sum over k, i of A[m][4 k + i] B[k][4 n + i] */
static void emulated_product(int sums, int a, int b)
{
    if (!emulated.configured || emulated.rows[sums] != emulated.rows[a] || emulated.bytes[sums] != emulated.bytes[b] ||
        emulated.bytes[a] != 4 * emulated.rows[b])
        abort();
    for (int m = 0; m < emulated.rows[sums]; m++)
        for (int n = 0; n < emulated.bytes[sums] / 4; n++) {
            int32_t total;
            memcpy(&total, emulated.data[sums][m] + 4 * n, 4);
            for (int k = 0; k < emulated.rows[b]; k++)
                for (int i = 0; i < 4; i++)
                    total += (int8_t)emulated.data[a][m][4 * k + i] * (int8_t)emulated.data[b][k][4 * n + i];
            memcpy(emulated.data[sums][m] + 4 * n, &total, 4);
        }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#define _tile_loadconfig(config) emulated_config((const uint8_t *)(config))
#define _tile_release() ((void)(emulated.configured = 0))
#define _tile_zero(tile) ((void)memset(emulated.data[tile], 0, sizeof emulated.data[tile]))
#define _tile_loadd(tile, from, stride) emulated_load(tile, from, (long)(stride))
#define _tile_stored(tile, to, stride) emulated_store(tile, to, (long)(stride))
#define _tile_dpbssd(sums, a, b) emulated_product(sums, a, b)
