/* The door to XLA: a foreign-function handler that checks its arguments and runs a product. */
#include <stdio.h>
#include <string.h>

#include "signs.h"
#include "xla/ffi/api/c_api.h"

enum { PLAIN = 0, AVX2 = 1, AVX512 = 2 }; /* as in native.py */

static XLA_FFI_Error *wrong(const XLA_FFI_CallFrame *frame, const char *message)
{
    XLA_FFI_Error_Create_Args args = {0};
    args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
    args.message = message;
    args.errc = XLA_FFI_Error_Code_INVALID_ARGUMENT;
    return frame->api->XLA_FFI_Error_Create(&args);
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

static int64_t count(const XLA_FFI_Buffer *buffer)
{
    int64_t size = 1;
    for (int64_t i = 0; i < buffer->rank; i++) size *= buffer->dims[i];
    return size;
}

/* The fastest product that this processor runs: PLAIN, AVX2 or AVX512. */
int unrollbit_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("gfni"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
#endif
    return PLAIN;
}

/* The product of one level, or NULL. */
static signs_product *product_of(int64_t level)
{
#if defined(__x86_64__)
    if (level == AVX512) return signs_product_avx512;
    if (level == AVX2) return signs_product_avx2;
#endif
    return level == PLAIN ? signs_product_plain : NULL;
}

/* Arguments: bits (bytes), x (batch, in); result (batch, out); attributes level, blocks, rows, columns, transpose. */
XLA_FFI_Error *unrollbit_signs_product(XLA_FFI_CallFrame *frame)
{
    if (frame->extension_start && frame->extension_start->type == XLA_FFI_Extension_Metadata) {
        XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
        metadata->api_version.major_version = XLA_FFI_API_MAJOR;
        metadata->api_version.minor_version = XLA_FFI_API_MINOR;
        return NULL;
    }
    if (frame->args.size != 2 || frame->rets.size != 1) return wrong(frame, "signs product: expected 2 arguments, 1 result");
    const XLA_FFI_Buffer *bits = frame->args.args[0], *x = frame->args.args[1], *out = frame->rets.rets[0];
    const int64_t level = integer(&frame->attrs, "level"), blocks = integer(&frame->attrs, "blocks");
    const int64_t rows = integer(&frame->attrs, "rows"), columns = integer(&frame->attrs, "columns");
    const int64_t transpose = integer(&frame->attrs, "transpose");
    signs_product *product = product_of(level);
    if (!product || level > unrollbit_level()) return wrong(frame, "signs product: not for this processor");
    if (blocks < 1 || rows < 1 || columns < 1 || transpose < 0 || transpose > 1)
        return wrong(frame, "signs product: wrong blocks, rows, columns or transpose");
    if (bits->dtype != XLA_FFI_DataType_U8 || x->dtype != XLA_FFI_DataType_F32 || out->dtype != XLA_FFI_DataType_F32)
        return wrong(frame, "signs product: expected bytes and float32");
    const int64_t in = blocks * (transpose ? rows : columns), produced = blocks * (transpose ? columns : rows);
    if (x->rank != 2 || out->rank != 2 || x->dims[1] != in || out->dims[1] != produced || x->dims[0] != out->dims[0] ||
        count(bits) != blocks * rows * ((columns + 7) / 8))
        return wrong(frame, "signs product: shapes of bits, input and output disagree");
    const signs_t signs = {bits->data, (size_t)blocks, (size_t)rows, (size_t)columns};
    product(&signs, (int)transpose, x->data, (size_t)x->dims[0], out->data);
    return NULL;
}
