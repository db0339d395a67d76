/* Start-up of the unit tests on QEMU's Cortex-M boards: output and exit status go through semihosting. Test only. */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

extern uint32_t test_bss_start[], test_bss_end[], test_stack_top[];
extern void initialise_monitor_handles(void); /* librdimon */
extern int main(int argc, char **argv);
void test_reset_handler(void);

#define SCB_CPACR (*(volatile uint32_t *)0xE000ED88u) /* Armv7-M ARM, B3.2.20 */
#define TEST_EXIT_FAULT 70

void test_reset_handler(void)
{
#if defined(__ARM_FP)
    SCB_CPACR |= 0xFu << 20; /* CP10 and CP11: the FPU */
    __asm__ volatile("dsb\n\tisb");
#endif
    for (uint32_t *word = test_bss_start; word < test_bss_end; ++word) {
        *word = 0;
    }
    initialise_monitor_handles();
    static char *no_arguments[] = {"test", NULL};
    exit(main(1, no_arguments));
}

static void test_fault_handler(void)
{
    _exit(TEST_EXIT_FAULT);
}

/* The system exceptions; the tests enable no interrupt. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack_top;
    void (*handlers[15])(void);
} test_vectors = {test_stack_top,
                  {test_reset_handler, test_fault_handler, test_fault_handler, test_fault_handler, test_fault_handler,
                   test_fault_handler}};

/* exit() runs these through __libc_fini_array; there is nothing to run. */
void _init(void);
void _fini(void);
void _init(void)
{
}
void _fini(void)
{
}
