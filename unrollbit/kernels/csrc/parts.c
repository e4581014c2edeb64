/* Products cut into parts: vectors, blocks, and the rows (transposed: columns) of what each block produces. Sums are never
 * cut, and parts start where a product says that their results have the same bits as those of the whole: how many threads
 * there are is not seen in a result. */
#include "signs.h"

enum { PER_THREAD = 4 };             /* parts, so that a thread that is slowed down leaves some to others */
static const double LEAST = 1 << 20; /* signs times vectors of a part */

typedef struct {
    signs_product *product;
    signs_t signs;
    int transpose;
    const float *x;
    float *out;
    size_t batch, groups, blocks, pieces; /* number of parts: of the batch, of the blocks, of what a block produces */
} cut_t;

/* Where part k of `parts` starts: a multiple of the granule. What does not fill one belongs to the last part. */
static size_t start_of(size_t k, size_t parts, size_t size, size_t granule)
{
    return k == parts ? size : size / granule * k / parts * granule;
}

static void multiply_part(void *work, size_t index)
{
    const cut_t *cut = work;
    const signs_t *all = &cut->signs;
    const size_t piece = index % cut->pieces, block = index / cut->pieces % cut->blocks;
    const size_t group = index / cut->pieces / cut->blocks;
    const size_t in = cut->transpose ? all->rows : all->columns, made = cut->transpose ? all->columns : all->rows;
    const size_t first = start_of(group, cut->groups, cut->batch, GROUPED);
    const size_t vectors = start_of(group + 1, cut->groups, cut->batch, GROUPED) - first;
    const size_t from_block = start_of(block, cut->blocks, all->blocks, 1);
    const size_t start = start_of(piece, cut->pieces, made, GRANULE);
    const size_t produced = start_of(piece + 1, cut->pieces, made, GRANULE) - start;
    const size_t skipped = from_block * all->rows * all->row_bytes + (cut->transpose ? start / 8 : start * all->row_bytes);
    signs_t S = *all;
    S.bits += skipped;
    S.size -= skipped;
    S.blocks = start_of(block + 1, cut->blocks, all->blocks, 1) - from_block;
    if (cut->pieces > 1) *(cut->transpose ? &S.columns : &S.rows) = produced;
    const size_t x_stride = all->blocks * in, out_stride = all->blocks * made;
    cut->product(&S, cut->transpose, cut->x + first * x_stride + from_block * in, x_stride, vectors,
                 cut->out + first * out_stride + from_block * made + start, out_stride);
}

static size_t at_most(size_t wanted, size_t limit) { return wanted < limit ? wanted : limit ? limit : 1; }

void signs_product_shared(const team_t *team, signs_product *product, const signs_t *signs, int transpose, const float *x,
                          size_t batch, float *out)
{
    const double size = (double)signs->blocks * (double)signs->rows * (double)signs->columns * (double)batch;
    const size_t most = size < LEAST * (double)(team->threads * PER_THREAD) ? (size_t)(size / LEAST) : team->threads * PER_THREAD;
    const size_t wanted = team->threads > 1 && most ? most : 1;
    const size_t made = transpose ? signs->columns : signs->rows;
    cut_t cut = {product, *signs, transpose, x, out, batch, 1, 1, 1};
    cut.groups = at_most(wanted, batch / GROUPED);
    cut.blocks = at_most((wanted + cut.groups - 1) / cut.groups, signs->blocks);
    if (cut.blocks == signs->blocks) {
        const size_t others = cut.groups * cut.blocks;
        cut.pieces = at_most((wanted + others - 1) / others, made / GRANULE);
    }
    share(team, multiply_part, &cut, cut.groups * cut.blocks * cut.pieces);
}
