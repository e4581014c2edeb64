/* Runs unrollbit_recover on the signals in y.bin, on an emulated Cortex-M4, and counts its instructions. */
#include <stdint.h>
#include <stdio.h>

#include "unrollbit_recover.h"

extern void _start(void);
extern uint32_t __stack;

/* With -icount shift=0 an instruction takes 1 ns; the timer of the board runs at 25 MHz, so a tick is 40 of them. */
#define TICK 40U
#define SYSTICK ((volatile uint32_t *)0xE000E010U)
#define FULL 0xFFFFFFU

static float y[UNROLLBIT_M];
static float x[UNROLLBIT_N];
static float work[UNROLLBIT_WORK_BYTES / sizeof(float)];
static volatile uint32_t wraps;

static void ticked(void)
{
    wraps++;
}

void reset(void)
{
    *(volatile uint32_t *)0xE000ED88U |= 0xFU << 20; /* the floating-point unit */
    __asm volatile("dsb\n isb");
    _start();
}

static void stopped(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&__stack, reset, stopped, stopped, stopped, stopped, stopped, 0, 0, 0, 0, stopped, 0, 0, stopped,
    ticked};

int main(void)
{
    FILE *const in = fopen("y.bin", "rb");
    FILE *const out = fopen("x.bin", "wb");
    while (fread(y, sizeof(float), UNROLLBIT_M, in) == UNROLLBIT_M) {
        int32_t status;
        uint32_t ticks;
        wraps = 0U;
        SYSTICK[0] = 0U;
        SYSTICK[1] = FULL;
        SYSTICK[2] = 0U;
        SYSTICK[0] = 7U;
        status = unrollbit_recover(y, x, work);
        ticks = FULL - SYSTICK[2];
        SYSTICK[0] = 0U;
        printf("%ld instructions\n", (long)(TICK * (ticks + (wraps * (FULL + 1U)))));
        fwrite(&status, sizeof(status), 1, out);
        fwrite(x, sizeof(float), UNROLLBIT_N, out);
    }
    fclose(out);
    return 0;
}
