/* dispatch.c - which of the compiled variants this processor can run. */
#include "fastrnn.h"

#include <string.h>

extern const fastrnn_kernels fastrnn_baseline_f32, fastrnn_baseline_f64;
#ifdef FASTRNN_X86_VARIANTS
extern const fastrnn_kernels fastrnn_avx2_f32, fastrnn_avx2_f64;
extern const fastrnn_kernels fastrnn_avx512_f32, fastrnn_avx512_f64;
#endif

const fastrnn_kernels *fastrnn_select(const char *isa, int bytes) {
#ifdef FASTRNN_X86_VARIANTS
    __builtin_cpu_init();
    if ((!isa || !strcmp(isa, "avx512")) && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("fma")) {
        return bytes == 4 ? &fastrnn_avx512_f32 : &fastrnn_avx512_f64;
    }
    if ((!isa || !strcmp(isa, "avx2")) && __builtin_cpu_supports("avx2")
        && __builtin_cpu_supports("fma")) {
        return bytes == 4 ? &fastrnn_avx2_f32 : &fastrnn_avx2_f64;
    }
#endif
    if (!isa || !strcmp(isa, "baseline")) {
        return bytes == 4 ? &fastrnn_baseline_f32 : &fastrnn_baseline_f64;
    }
    return NULL;
}

#ifndef FASTRNN_FLAGS
#define FASTRNN_FLAGS ""  /* those of setup.py; else what it adds to the compiler's name */
#endif

const char *fastrnn_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__ FASTRNN_FLAGS;
#elif defined(__GNUC__)
    return "gcc " __VERSION__ FASTRNN_FLAGS;
#elif defined(_MSC_VER)
    return "MSVC";
#else
    return "unknown";
#endif
}
