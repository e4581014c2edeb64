/* Products cut into parts: vectors, blocks, and what each block produces (rows; transposed: columns). Parts start where a
 * product says that their results have the same bits as those of the whole. Sums are cut in one case, a transposed product
 * with few vectors, where threads that read the same rows would wait for memory: into panels of rows whose number the
 * sizes alone decide. So how many threads there are is not seen in a result. */
#include <stdlib.h>

#include "signs.h"

static const double LEAST = 1 << 21; /* signs times vectors of a part: they take about as long as another thread to come */

enum {
    FEW = 8,           /* vectors of a product that is cut into panels */
    MOST_PANELS = 4,
    PANEL_ROWS = 2048, /* at least */
    PANEL_STEP = 512,  /* rows between which panels start */
};

typedef struct {
    signs_product *product;
    signs_t signs;
    int transpose;
    const float *x;
    float *out, *partial; /* of the first panel, and of the others */
    size_t batch, groups, blocks, panels, pieces; /* number of parts: of batch, blocks, sums, what a block produces */
} cut_t;

typedef struct {
    size_t start, size;
} range_t;

static size_t start_of(size_t k, size_t parts, size_t size, size_t step)
{
    return k == parts ? size : size / step * k / parts * step;
}

/* Part k of `parts`: it starts at a multiple of `step`. What does not fill one belongs to the last part. */
static range_t range_of(size_t k, size_t parts, size_t size, size_t step)
{
    const size_t start = start_of(k, parts, size, step);
    return (range_t){start, start_of(k + 1, parts, size, step) - start};
}

static size_t step_of(int transpose) { return transpose ? PART_COLUMNS : PART_ROWS; }

static void multiply_part(void *work, size_t index)
{
    const cut_t *cut = work;
    const size_t in = cut->transpose ? cut->signs.rows : cut->signs.columns;
    const size_t made = cut->transpose ? cut->signs.columns : cut->signs.rows;
    const size_t x_stride = cut->signs.blocks * in, out_stride = cut->signs.blocks * made;
    const size_t panel = index / cut->pieces % cut->panels;
    const range_t piece = range_of(index % cut->pieces, cut->pieces, made, step_of(cut->transpose));
    const range_t sums = range_of(panel, cut->panels, in, PANEL_STEP);
    const range_t blocks = range_of(index / cut->pieces / cut->panels % cut->blocks, cut->blocks, cut->signs.blocks, 1);
    const range_t vectors =
        range_of(index / cut->pieces / cut->panels / cut->blocks, cut->groups, cut->batch, PART_VECTORS);
    const range_t rows = cut->transpose ? sums : piece, columns = cut->transpose ? piece : sums;
    const size_t skipped = (blocks.start * cut->signs.rows + rows.start) * cut->signs.row_bytes + columns.start / 8;
    const signs_t S = {cut->signs.bits + skipped, cut->signs.size - skipped, blocks.size, rows.size, columns.size,
                       cut->signs.row_bytes};
    float *out = panel ? cut->partial + (panel - 1) * cut->batch * out_stride : cut->out;
    cut->product(&S, cut->transpose, cut->x + vectors.start * x_stride + blocks.start * in + sums.start, x_stride,
                 vectors.size, out + vectors.start * out_stride + blocks.start * made + piece.start, out_stride);
}

/* `wanted`, between 1 and a limit. */
static size_t bounded(size_t wanted, size_t limit)
{
    const size_t most = wanted < limit ? wanted : limit;
    return most ? most : 1;
}

static size_t quotient(size_t a, size_t b) { return (a + b - 1) / b; }

void signs_product_shared(const team_t *team, signs_product *product, const signs_t *signs, int transpose, const float *x,
                          size_t batch, float *out)
{
    const double parts = (double)signs->blocks * (double)signs->rows * (double)signs->columns * (double)batch / LEAST;
    const size_t wanted = parts < (double)team->threads ? bounded((size_t)parts, team->threads) : team->threads;
    const size_t made = transpose ? signs->columns : signs->rows, all = batch * signs->blocks * made;
    cut_t cut = {product, *signs, transpose, x, out, NULL, batch, 1, 1, 1, 1};
    if (transpose && signs->blocks == 1 && batch <= FEW && parts >= 2) {
        cut.panels = bounded(signs->rows / PANEL_ROWS, MOST_PANELS);
        cut.partial = cut.panels > 1 ? malloc((cut.panels - 1) * all * sizeof *out) : NULL;
        if (!cut.partial) cut.panels = 1;
    }
    cut.groups = bounded(quotient(wanted, cut.panels), batch / PART_VECTORS);
    cut.blocks = bounded(quotient(wanted, cut.panels * cut.groups), signs->blocks);
    if (cut.blocks == signs->blocks)
        cut.pieces = bounded(quotient(wanted, cut.panels * cut.groups * cut.blocks), made / step_of(transpose));
    share(team, multiply_part, &cut, cut.groups * cut.blocks * cut.panels * cut.pieces);
    for (size_t panel = 1; panel < cut.panels; panel++)
        for (size_t i = 0; i < all; i++) out[i] += cut.partial[(panel - 1) * all + i];
    free(cut.partial);
}
