/* The door to XLA: foreign-function handlers that check their arguments and run a product, or a tape of operations. */
#include <stdlib.h>
#include <string.h>

#include "signs.h"
#include "xla/ffi/api/c_api.h"

#define TEXT_OF(value) #value
#define TEXT(macro) TEXT_OF(macro)

/* What this library is: a line per item, its name and its values. */
const char *unrollbit_interface(void)
{
    return "version " TEXT(UNROLLBIT_INTERFACE) "\nlevels"
#define LEVEL(number, name) " " name
#include "levels.inc"
#undef LEVEL
           "\noperations"
#define OPERATION(number, name) " " name
#include "operations.inc"
#undef OPERATION
        ;
}

static XLA_FFI_Error *wrong(const XLA_FFI_CallFrame *frame, const char *message)
{
    XLA_FFI_Error_Create_Args args = {0};
    args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
    args.message = message;
    args.errc = XLA_FFI_Error_Code_INVALID_ARGUMENT;
    return frame->api->XLA_FFI_Error_Create(&args);
}

/* Whether there is no error; one that is there is forgotten. */
static int succeeded(const XLA_FFI_CallFrame *frame, XLA_FFI_Error *error)
{
    if (!error) return 1;
    XLA_FFI_Error_Destroy_Args args = {0};
    args.struct_size = XLA_FFI_Error_Destroy_Args_STRUCT_SIZE;
    args.error = error;
    frame->api->XLA_FFI_Error_Destroy(&args);
    return 0;
}

/* An integer attribute; -1 where there is none of that name. */
static int64_t integer(const XLA_FFI_Attrs *attrs, const char *name)
{
    const size_t length = strlen(name);
    for (int64_t i = 0; i < attrs->size; i++) {
        const XLA_FFI_ByteSpan *found = attrs->names[i];
        if (found->len != length || memcmp(found->ptr, name, length)) continue;
        const XLA_FFI_Scalar *scalar = attrs->attrs[i];
        if (attrs->types[i] == XLA_FFI_AttrType_SCALAR && scalar->dtype == XLA_FFI_DataType_S64)
            return *(const int64_t *)scalar->value;
    }
    return -1;
}

/* Threads that XLA lends: its own, and as many of them as attribute "threads" allows (0: all). */
static int begin(const void *lender, void (*task)(void *data), void *data)
{
    const XLA_FFI_CallFrame *frame = lender;
    XLA_FFI_ThreadPool_Schedule_Args args = {0};
    args.struct_size = XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE;
    args.ctx = frame->ctx;
    args.task = task;
    args.data = data;
    return succeeded(frame, frame->api->XLA_FFI_ThreadPool_Schedule(&args));
}

static team_t team_of(const XLA_FFI_CallFrame *frame)
{
    int64_t threads = 1;
    const int64_t most = integer(&frame->attrs, "threads");
    XLA_FFI_ThreadPool_NumThreads_Args args = {0};
    args.struct_size = XLA_FFI_ThreadPool_NumThreads_Args_STRUCT_SIZE;
    args.ctx = frame->ctx;
    args.num_threads = &threads;
    if (most == 1 || !succeeded(frame, frame->api->XLA_FFI_ThreadPool_NumThreads(&args)) || threads < 1) threads = 1;
    return (team_t){(size_t)(most > 0 && most < threads ? most : threads), begin, frame};
}

static int64_t count(const XLA_FFI_Buffer *buffer)
{
    int64_t size = 1;
    for (int64_t i = 0; i < buffer->rank; i++) size *= buffer->dims[i];
    return size;
}

/* Whether this processor runs a level. */
int unrollbit_runs(int level)
{
    switch (level) {
    case PLAIN: return 1;
#if defined(__x86_64__)
    case AVX2:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case AVX512:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("gfni");
#if defined(UNROLLBIT_AMX)
    case AMX: return unrollbit_runs(AVX512) && amx_is_permitted();
#endif
#elif defined(__aarch64__)
    case NEON: return 1;
#endif
    default: return 0;
    }
}

typedef struct {
    signs_product *product;
    run_tape *tape;
} level_t;

static const level_t levels[] = {
    [PLAIN] = {signs_product_plain, run_tape_plain},
#if defined(__x86_64__)
    [AVX2] = {signs_product_avx2, run_tape_avx2},
    [AVX512] = {signs_product_avx512, run_tape_avx512},
#if defined(UNROLLBIT_AMX)
    [AMX] = {signs_product_amx, run_tape_avx512},
#endif
#elif defined(__aarch64__)
    [NEON] = {signs_product_neon, run_tape_neon},
#endif
};

/* What runs at the level that a call asks for, or NULL. */
static const level_t *level_of(const XLA_FFI_CallFrame *frame)
{
    const int64_t level = integer(&frame->attrs, "level");
    return level >= 0 && level < (int64_t)(sizeof levels / sizeof *levels) && unrollbit_runs((int)level) ? levels + level : NULL;
}

/* XLA asks every handler for its version once. */
static int asked_for_version(XLA_FFI_CallFrame *frame)
{
    if (!frame->extension_start || frame->extension_start->type != XLA_FFI_Extension_Metadata) return 0;
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    return 1;
}

/* Arguments: bits (bytes), x (batch, in); result (batch, out); attributes level, threads, blocks, rows, columns,
 * transpose. */
XLA_FFI_Error *unrollbit_signs_product(XLA_FFI_CallFrame *frame)
{
    if (asked_for_version(frame)) return NULL;
    if (frame->args.size != 2 || frame->rets.size != 1) return wrong(frame, "signs product: expected 2 arguments, 1 result");
    const XLA_FFI_Buffer *bits = frame->args.args[0], *x = frame->args.args[1], *out = frame->rets.rets[0];
    const level_t *level = level_of(frame);
    const int64_t blocks = integer(&frame->attrs, "blocks");
    const int64_t rows = integer(&frame->attrs, "rows"), columns = integer(&frame->attrs, "columns");
    const int64_t transpose = integer(&frame->attrs, "transpose");
    if (!level) return wrong(frame, "signs product: not for this processor");
    if (blocks < 1 || rows < 1 || columns < 1 || transpose < 0 || transpose > 1)
        return wrong(frame, "signs product: wrong blocks, rows, columns or transpose");
    if (bits->dtype != XLA_FFI_DataType_U8 || x->dtype != XLA_FFI_DataType_F32 || out->dtype != XLA_FFI_DataType_F32)
        return wrong(frame, "signs product: expected bytes and float32");
    const int64_t in = blocks * (transpose ? rows : columns), produced = blocks * (transpose ? columns : rows);
    if (x->rank != 2 || out->rank != 2 || x->dims[1] != in || out->dims[1] != produced || x->dims[0] != out->dims[0] ||
        count(bits) != blocks * rows * ((columns + 7) / 8))
        return wrong(frame, "signs product: shapes of bits, input and output disagree");
    const signs_t signs = whole_signs(bits->data, (size_t)blocks, (size_t)rows, (size_t)columns);
    const team_t team = team_of(frame);
    signs_product_shared(&team, level->product, &signs, (int)transpose, x->data, (size_t)x->dims[0], out->data);
    return NULL;
}

/* A product of sizes; the largest number there is where it would be larger. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

/* How many floats an operation reads from in[i]. */
static int64_t read_by(const instruction_t *at, int i)
{
    const int64_t *size = at->size;
    switch (at->op) {
    case TAPE_SIGNS: return i ? 0 : times(times(at->n, size[2]), size[size[5] ? 3 : 4]);
    case TAPE_TAKE: return i == 2 ? 0 : i ? at->n : size[0];
    case TAPE_REPEAT: return i ? 0 : at->n;
    case TAPE_HADAMARD:
    case TAPE_SUM:
    case TAPE_MAXIMUM: return i ? 0 : times(at->n, size[0]);
    default: return i == 2 && at->op != TAPE_SELECT ? 0 : at->step[i] ? at->n : 1;
    }
}

static int64_t written_by(const instruction_t *at)
{
    const int64_t *size = at->size;
    if (at->op == TAPE_SIGNS) return times(times(at->n, size[2]), size[size[5] ? 4 : 3]);
    return at->op == TAPE_HADAMARD || at->op == TAPE_REPEAT ? times(at->n, size[0]) : at->n;
}

/* Whether everything that an operation touches lies where it should. */
static int fits(const instruction_t *at, int64_t scratch, const XLA_FFI_Buffer *constants, const XLA_FFI_Args *args)
{
    const int64_t *size = at->size;
    if (at->op < 0 || at->op >= TAPE_END || at->n < 1 || at->out < 0 || written_by(at) > scratch - at->out) return 0;
    for (int i = 0; i < 6; i++)
        if (size[i] < 0) return 0;
    if (at->op == TAPE_SIGNS) {
        if (size[0] >= args->size - 3 || size[5] > 1 || !size[2] || !size[3] || !size[4] || size[4] > INT32_MAX) return 0;
        const XLA_FFI_Buffer *bits = args->args[size[0] + 3];
        const int64_t bytes = times(times(size[2], size[3]), (size[4] + 7) / 8);
        if (bits->dtype != XLA_FFI_DataType_U8 || size[1] > count(bits) || bytes > count(bits) - size[1]) return 0;
    }
    for (int i = 0; i < 3; i++) {
        const int64_t there = at->in[i] < 0 ? count(constants) - (-1 - at->in[i]) : scratch - at->in[i];
        if ((at->step[i] != 0 && at->step[i] != 1) || read_by(at, i) > there) return 0;
    }
    if (at->op == TAPE_MAXIMUM && !size[0]) return 0;
    if (at->op == TAPE_HADAMARD && (size[0] & (size[0] - 1) || !size[0])) return 0;
    if (at->op == TAPE_TAKE) {
        if (at->in[1] >= 0) return 0;
        const int32_t *index = (const int32_t *)constants->data + (-1 - at->in[1]);
        int outside = 0;
        for (int64_t i = 0; i < at->n; i++) outside |= index[i] >= size[0];
        if (outside) return 0;
    }
    return 1;
}

/* Arguments: x, tape (operations, 15 numbers), constants, and the bits of sign matrices; results: out, scratch (which
 * starts with x); attributes: level, threads, and result, the place of `out` in the scratch. */
XLA_FFI_Error *unrollbit_run_tape(XLA_FFI_CallFrame *frame)
{
    if (asked_for_version(frame)) return NULL;
    if (frame->args.size < 3 || frame->rets.size != 2)
        return wrong(frame, "tape: wrong number of arguments or results");
    const XLA_FFI_Buffer *x = frame->args.args[0], *tape = frame->args.args[1], *constants = frame->args.args[2];
    const XLA_FFI_Buffer *out = frame->rets.rets[0], *scratch = frame->rets.rets[1];
    const level_t *level = level_of(frame);
    const int64_t result = integer(&frame->attrs, "result"), room = count(scratch);
    if (!level) return wrong(frame, "tape: not for this processor");
    if (x->dtype != XLA_FFI_DataType_F32 || constants->dtype != XLA_FFI_DataType_F32 || out->dtype != XLA_FFI_DataType_F32 ||
        scratch->dtype != XLA_FFI_DataType_F32 || tape->dtype != XLA_FFI_DataType_U8)
        return wrong(frame, "tape: expected float32, and bytes as tape");
    if (count(tape) % (int64_t)sizeof(instruction_t) || count(x) > room || result < 0 || count(out) > room - result)
        return wrong(frame, "tape: sizes of input, output and scratch disagree");
    const instruction_t *operations = tape->data;
    const size_t length = (size_t)count(tape) / sizeof(instruction_t);
    for (size_t i = 0; i < length; i++)
        if (!fits(operations + i, room, constants, &frame->args)) return wrong(frame, "tape: an operation is out of place");
    const uint8_t **bits = malloc((size_t)frame->args.size * sizeof *bits);
    if (!bits) return wrong(frame, "tape: no memory");
    for (int64_t i = 3; i < frame->args.size; i++) bits[i - 3] = ((const XLA_FFI_Buffer *)frame->args.args[i])->data;
    memcpy(scratch->data, x->data, (size_t)count(x) * sizeof(float));
    const team_t team = team_of(frame);
    const places_t places = {scratch->data, constants->data, bits, level->product, &team};
    level->tape(operations, length, &places);
    free(bits);
    memcpy(out->data, (const float *)scratch->data + result, (size_t)count(out) * sizeof(float));
    return NULL;
}
