/* What Python and this library agree on. Python asks the library (unrollbit_interface) before it calls anything else, and
 * does without it where the answer is not what it expects. */
#ifndef UNROLLBIT_INTERFACE_H
#define UNROLLBIT_INTERFACE_H

#include <stdint.h>

/* To be raised, here and in native.py, with every change of instruction_t, of what an operation means, and of the
 * arguments and attributes of the handlers in ffi.c. */
#define UNROLLBIT_INTERFACE 3

enum {
#define OPERATION(number, name) TAPE_##number,
#include "operations.inc"
#undef OPERATION
    TAPE_END,
};

enum {
#define LEVEL(number, name) number,
#include "levels.inc"
#undef LEVEL
};

/* One operation. Places are numbers of floats from the start of the scratch; negative ones, -1 - k, are constant k. */
typedef struct {
    int64_t op, out, n, in[3], step[3], size[6];
} instruction_t;

#endif
