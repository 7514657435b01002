/* Kernels are compiled for the oldest and for a newer instruction set; the loader takes what the machine has.
   The source fixes the order of every floating-point operation, so both give the same bits. */
#ifndef LM_CLONES_H
#define LM_CLONES_H

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__
#define LM_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define LM_CLONES
#endif

/* No element of the loop depends on another: where the result is an operand, it is so element by element. */
#ifdef __clang__
#define LM_INDEPENDENT
#else
#define LM_INDEPENDENT _Pragma("GCC ivdep")
#endif

#endif
