/* dispatch.c - which of the compiled variants this processor can run. */
#if defined(FASTRNN_AMX)
#define _GNU_SOURCE /* syscall() */
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include "fastrnn.h"

#include <string.h>
#ifdef FASTRNN_X86_VARIANTS
#include <cpuid.h>
#endif

/* The tables of one instruction set. */
#define TABLES(isa)                                                                                \
    extern const fastrnn_kernels fastrnn_##isa##_float32, fastrnn_##isa##_float64,                 \
        fastrnn_##isa##_mixed_bfloat16;
TABLES(baseline)
#ifdef FASTRNN_X86_VARIANTS
TABLES(avx2)
TABLES(avx512)
extern const fastrnn_kernels fastrnn_avx512_bf16_mixed_bfloat16, fastrnn_amx_mixed_bfloat16;

/* Bits of ebx in leaf 7 of cpuid, and of XCR0: registers that the system saves for each thread. */
#define AVX2 (1u << 5)
#define AVX512 (1u << 16 | 1u << 17 | 1u << 31) /* F, DQ, VL */
#define AVX512BW (1u << 30)
enum { YMM = 0x6, ZMM = 0xe6 };

/* Not by __builtin_cpu_supports, for which clang-cl has no library. */
static int has(unsigned bits, unsigned registers) {
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1) || !(c >> 12 & 1)) return 0; /* FMA */
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
#ifdef __APPLE__
    registers &= YMM; /* the others are granted when they are first used */
#endif
    return (saved & registers) == registers && __get_cpuid_count(7, 0, &a, &b, &c, &d)
           && (b & bits) == bits;
}
static int has_avx2(void) { return has(AVX2, YMM); }
static int has_avx512(void) { return has(AVX2 | AVX512, ZMM); }
#ifdef FASTRNN_BFLOAT16_VARIANTS
/* Bits of leaf 7: 22 and 24 of edx AMX, 5 of eax of its second part AVX-512's bfloat16. */
static int has_avx512_bf16(void) {
    unsigned a, b, c, d;
    return has_avx512() && has(AVX512BW, ZMM) && __get_cpuid_count(7, 1, &a, &b, &c, &d)
           && a >> 5 & 1;
}
/* Linux grants a process the registers of AMX, 8 KB for each thread, when it asks for them. */
static int granted(void) {
#ifdef FASTRNN_AMX
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
#else
    return 0;
#endif
}
static int has_amx(void) {
    static int known = -1; /* asked once; two threads at once get the same answer */
    int has = __atomic_load_n(&known, __ATOMIC_RELAXED);
    unsigned a, b, c, d;
    if (has < 0) {
        has = has_avx512_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 22 & 1
              && d >> 24 & 1 && granted();
        __atomic_store_n(&known, has, __ATOMIC_RELAXED);
    }
    return has;
}
#endif
#endif
static int always(void) { return 1; }

/* From the best on. On Intel's processors bfloat16 products of AVX-512 run at half the rate of
 * float's (bench/NOTES.md), on AMD's at twice: so elsewhere they run only if they are asked for. */
static const struct variant {
    const char *isa;
    int (*runs)(void);
    int slow; /* 1: not on Intel's processors, unless asked for */
    const fastrnn_kernels *tables[3];
} VARIANTS[] = {
/* clang-format off */
#ifdef FASTRNN_X86_VARIANTS
#ifdef FASTRNN_BFLOAT16_VARIANTS
    {"amx", has_amx, 0, {&fastrnn_avx512_float32, &fastrnn_avx512_float64,
                         &fastrnn_amx_mixed_bfloat16}},
    {"avx512_bf16", has_avx512_bf16, 1, {&fastrnn_avx512_float32, &fastrnn_avx512_float64,
                                         &fastrnn_avx512_bf16_mixed_bfloat16}},
#endif
    {"avx512", has_avx512, 0, {&fastrnn_avx512_float32, &fastrnn_avx512_float64,
                               &fastrnn_avx512_mixed_bfloat16}},
    {"avx2", has_avx2, 0, {&fastrnn_avx2_float32, &fastrnn_avx2_float64,
                           &fastrnn_avx2_mixed_bfloat16}},
#endif
    {"baseline", always, 0, {&fastrnn_baseline_float32, &fastrnn_baseline_float64,
                             &fastrnn_baseline_mixed_bfloat16}},
    /* clang-format on */
};

/* Whether a variant is slower here than the one after it. */
static int slow_here(const struct variant *v) {
#ifdef FASTRNN_BFLOAT16_VARIANTS
    unsigned a, b, c, d;
    return v->slow && __get_cpuid(0, &a, &b, &c, &d) && b == 0x756e6547; /* "Genu": GenuineIntel */
#else
    return v->slow;
#endif
}

const fastrnn_kernels *fastrnn_select(const char *isa, int precision) {
    for (size_t i = 0; i < sizeof VARIANTS / sizeof *VARIANTS; i++) {
        const struct variant *v = VARIANTS + i;
        if (isa ? !strcmp(isa, v->isa) : !slow_here(v)) {
            if (v->runs()) return v->tables[precision];
        }
    }
    return NULL;
}

#ifndef FASTRNN_FLAGS
#define FASTRNN_FLAGS "" /* those of setup.py; else what it adds to the compiler's name */
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
