/* Included before everything else: kernels are functions that are called, with parameters the compiler does not see. */
#define EW_KERNEL static __attribute__((noinline, unused))
