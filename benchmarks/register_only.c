/* Loops that compute in registers alone: what a core's widest instructions reach, one function each.

   Usage: register_only list
          register_only "VFMADD231PS zmm" MILLISECONDS CPU [CPU ...]

   Every loop is compiled for its own instruction set by a target attribute, so the program builds on any
   x86-64 and `list` names what this processor and its system allow. One thread per CPU, pinned, all at
   once; a thread runs bursts of about a millisecond until its time is over and prints, in JSON, its mean
   rate over the CPU time it had (other processes are not its matter) and its best burst's in op/s. A multiply-add is two operations. The operands are not zero, since
   zeros draw less power. */

#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Independent chains: at least latency times instructions per clock. AVX2 has 16 registers in all. */
#define TWELVE(DO, f) \
  DO(f, 0) DO(f, 1) DO(f, 2) DO(f, 3) DO(f, 4) DO(f, 5) DO(f, 6) DO(f, 7) DO(f, 8) DO(f, 9) DO(f, 10) DO(f, 11)
#define SIXTEEN(DO, f) TWELVE(DO, f) DO(f, 12) DO(f, 13) DO(f, 14) DO(f, 15)

/* Where results go, so that no loop is dead. */
static volatile double sink;

/* The empty asm holds each chain in a register at every step: the compiler joins no two of them. */
#define BEGIN(f, i) s##i = first;
#define STEP(f, i)  \
  s##i = f(s##i);   \
  __asm__ volatile("" : "+v"(s##i));
#define END(f, i)                  \
  memcpy(&out, &s##i, sizeof out); \
  sink = out;

/* `begin` is what a chain begins with, `next` what follows its value s. */
#define LOOP(name, features, type, EACH, begin, next)                                       \
  static inline __attribute__((always_inline, target(features))) type next_##name(type s) { \
    return next;                                                                            \
  }                                                                                         \
  static __attribute__((noinline, target(features))) void name(long passes) {               \
    type first = begin;                                                                     \
    type s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;                                  \
    __attribute__((unused)) type s12, s13, s14, s15;                                        \
    double out;                                                                             \
    EACH(BEGIN, )                                                                           \
    while (passes-- > 0) {                                                                  \
      EACH(STEP, next_##name)                                                               \
    }                                                                                       \
    EACH(END, )                                                                             \
  }

#define AVX2 "avx2,fma"
#define AVX512 "avx512f,avx512bw,avx512vl"
#define VNNI AVX512 ",avx512vnni"

LOOP(fma_pd_ymm, AVX2, __m256d, TWELVE, _mm256_set1_pd(1.25),
     _mm256_fmadd_pd(_mm256_set1_pd(0.71), _mm256_set1_pd(1.3), s))
LOOP(fma_pd_zmm, AVX512, __m512d, SIXTEEN, _mm512_set1_pd(1.25),
     _mm512_fmadd_pd(_mm512_set1_pd(0.71), _mm512_set1_pd(1.3), s))
LOOP(fma_ps_ymm, AVX2, __m256, TWELVE, _mm256_set1_ps(1.25f),
     _mm256_fmadd_ps(_mm256_set1_ps(0.71f), _mm256_set1_ps(1.3f), s))
LOOP(fma_ps_zmm, AVX512, __m512, SIXTEEN, _mm512_set1_ps(1.25f),
     _mm512_fmadd_ps(_mm512_set1_ps(0.71f), _mm512_set1_ps(1.3f), s))
/* 0x3f36 and 0x3fa6 are 0.71 and 1.3 in bf16. */
LOOP(dpbf16_zmm, AVX512 ",avx512bf16", __m512, SIXTEEN, _mm512_set1_ps(1.25f),
     _mm512_dpbf16_ps(s, (__m512bh)_mm512_set1_epi16(0x3f36), (__m512bh)_mm512_set1_epi16(0x3fa6)))
LOOP(fma_ph_zmm, AVX512 ",avx512fp16", __m512h, SIXTEEN, _mm512_set1_ph((_Float16)1.25f),
     _mm512_fmadd_ph(_mm512_set1_ph((_Float16)0.71f), _mm512_set1_ph((_Float16)1.3f), s))
LOOP(maddubs_ymm, AVX2, __m256i, TWELVE, _mm256_set1_epi8(93),
     _mm256_maddubs_epi16(s, _mm256_set1_epi8(-71)))
LOOP(maddubs_zmm, AVX512, __m512i, SIXTEEN, _mm512_set1_epi8(93),
     _mm512_maddubs_epi16(s, _mm512_set1_epi8(-71)))
LOOP(dpbusd_ymm, VNNI, __m256i, SIXTEEN, _mm256_set1_epi32(1000),
     _mm256_dpbusd_epi32(s, _mm256_set1_epi8(93), _mm256_set1_epi8(-71)))
LOOP(dpbusd_zmm, VNNI, __m512i, SIXTEEN, _mm512_set1_epi32(1000),
     _mm512_dpbusd_epi32(s, _mm512_set1_epi8(93), _mm512_set1_epi8(-71)))

/* Palette 1: eight tiles of 16 rows of 64 bytes. Four sums, two left and two right operands. */
struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes_per_row[16];
  uint8_t rows[16];
} __attribute__((packed));

#define TILE_LOOP(name, target_flags, product, pattern)                            \
  __attribute__((target(target_flags), noinline)) static void name(long passes) { \
    struct tile_config config = {.palette = 1};                                    \
    static _Thread_local uint8_t operand[1024] __attribute__((aligned(64)));       \
    for (int i = 0; i < 8; i++) config.bytes_per_row[i] = 64, config.rows[i] = 16; \
    for (int i = 0; i < 1024; i++) operand[i] = pattern;                           \
    _tile_loadconfig(&config);                                                     \
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);                    \
    _tile_loadd(4, operand, 64); _tile_loadd(5, operand, 64);                      \
    _tile_loadd(6, operand, 64); _tile_loadd(7, operand, 64);                      \
    while (passes-- > 0) {                                                         \
      product(0, 4, 6);                                                            \
      product(1, 4, 7);                                                            \
      product(2, 5, 6);                                                            \
      product(3, 5, 7);                                                            \
    }                                                                              \
    _tile_stored(0, operand, 64);                                                  \
    sink = operand[0];                                                             \
    _tile_release();                                                               \
  }

TILE_LOOP(tile_bf16, "amx-tile,amx-bf16", _tile_dpbf16ps, i % 2 ? 0x3f : 0x21 + i % 89)
TILE_LOOP(tile_int8, "amx-tile,amx-int8", _tile_dpbusd, 1 + i % 251)

/* What the processor says (CPUID) and the system saves (XCR0, and leave to use tiles). */
enum { HAS_FMA = 1, HAS_512 = 2, HAS_VNNI = 4, HAS_BF16 = 8, HAS_FP16 = 16, HAS_TILE_BF16 = 32, HAS_TILE_INT8 = 64 };

static int allowed(void) {
  unsigned a = 0, b = 0, c = 0, d = 0, sub = 0;
  int has = 0;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) has |= HAS_FMA;
  int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl");
  if (wide) has |= HAS_512;
  if (!__get_cpuid_count(7, 0, &sub, &b, &c, &d)) return has;
  if (wide && (c >> 11 & 1)) has |= HAS_VNNI;
  if (wide && (d >> 23 & 1)) has |= HAS_FP16;
  /* ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA (arch/x86/include/uapi/asm/prctl.h). */
  int tiles = (d >> 24 & 1) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  if (tiles && (d >> 22 & 1)) has |= HAS_TILE_BF16;
  if (tiles && (d >> 25 & 1)) has |= HAS_TILE_INT8;
  if (sub >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && wide && (a >> 5 & 1)) has |= HAS_BF16;
  return has;
}

/* Operations of one pass: chains x lanes x multiply-adds per lane x 2. */
static const struct kind {
  const char *instruction;
  int needs;
  long ops;
  void (*run)(long passes);
} kinds[] = {
    {"VFMADD231PD ymm", HAS_FMA, 12 * 4 * 2, fma_pd_ymm},
    {"VFMADD231PD zmm", HAS_512, 16 * 8 * 2, fma_pd_zmm},
    {"VFMADD231PS ymm", HAS_FMA, 12 * 8 * 2, fma_ps_ymm},
    {"VFMADD231PS zmm", HAS_512, 16 * 16 * 2, fma_ps_zmm},
    {"VDPBF16PS zmm", HAS_BF16, 16 * 16 * 2 * 2, dpbf16_zmm},
    {"TDPBF16PS tmm", HAS_TILE_BF16, 4L * 16 * 16 * 32 * 2, tile_bf16},
    {"VFMADD231PH zmm", HAS_FP16, 16 * 32 * 2, fma_ph_zmm},
    {"VPMADDUBSW ymm", HAS_FMA, 12 * 32 * 2, maddubs_ymm},
    {"VPMADDUBSW zmm", HAS_512, 16 * 64 * 2, maddubs_zmm},
    {"VPDPBUSD ymm", HAS_VNNI, 16 * 8 * 4 * 2, dpbusd_ymm},
    {"VPDPBUSD zmm", HAS_VNNI, 16 * 16 * 4 * 2, dpbusd_zmm},
    {"TDPBUSD tmm", HAS_TILE_INT8, 4L * 16 * 16 * 64 * 2, tile_int8},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct core {
  pthread_t thread;
  const struct kind *kind;
  int cpu, pinned;
  int64_t length_ns;
  double mean, best;
};

static int64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double rate(const struct kind *kind, long passes, int64_t ns) {
  return (double)kind->ops * (double)passes / ((double)ns * 1e-9);
}

static void *bursts(void *argument) {
  struct core *core = argument;
  const struct kind *kind = core->kind;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core->cpu, &one);
  core->pinned = pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
  long passes = 1000;
  for (int64_t took = 0; took < 500000; passes *= 2) { /* also the warm-up */
    int64_t begun = now_ns(CLOCK_MONOTONIC);
    kind->run(passes);
    took = now_ns(CLOCK_MONOTONIC) - begun;
  }
  long done = 0;
  int64_t used = now_ns(CLOCK_THREAD_CPUTIME_ID), begun = now_ns(CLOCK_MONOTONIC), ended = begun;
  while (ended - begun < core->length_ns) {
    int64_t from = ended;
    kind->run(passes);
    ended = now_ns(CLOCK_MONOTONIC);
    done += passes;
    if (rate(kind, passes, ended - from) > core->best) core->best = rate(kind, passes, ended - from);
  }
  core->mean = rate(kind, done, now_ns(CLOCK_THREAD_CPUTIME_ID) - used);
  return NULL;
}

static int list(int has) {
  const char *comma = "";
  printf("[");
  for (int i = 0; i < KINDS; i++)
    if ((kinds[i].needs & ~has) == 0) printf("%s\"%s\"", comma, kinds[i].instruction), comma = ", ";
  printf("]\n");
  return 0;
}

static int run(const struct kind *kind, int64_t length_ns, int count, char **cpus) {
  struct core *cores = calloc((size_t)count, sizeof *cores);
  if (!cores) return 1;
  for (int i = 0; i < count; i++) {
    cores[i] = (struct core){.kind = kind, .cpu = atoi(cpus[i]), .length_ns = length_ns};
    if (pthread_create(&cores[i].thread, NULL, bursts, &cores[i])) return 1;
  }
  int pinned = 1;
  for (int i = 0; i < count; i++) pthread_join(cores[i].thread, NULL), pinned &= cores[i].pinned;
  if (!pinned) return fprintf(stderr, "a thread could not be pinned to its CPU\n"), 1;
  printf("[");
  for (int i = 0; i < count; i++)
    printf("%s{\"cpu\": %d, \"mean\": %.9g, \"best\": %.9g}", i ? ", " : "", cores[i].cpu, cores[i].mean,
           cores[i].best);
  printf("]\n");
  free(cores);
  return 0;
}

int main(int argc, char **argv) {
  int has = allowed();
  if (argc == 2 && !strcmp(argv[1], "list")) return list(has);
  for (int i = 0; argc > 3 && i < KINDS; i++)
    if (!strcmp(argv[1], kinds[i].instruction) && (kinds[i].needs & ~has) == 0)
      return run(&kinds[i], atoll(argv[2]) * 1000000, argc - 3, argv + 3);
  fprintf(stderr, "usage: %s list | INSTRUCTION MILLISECONDS CPU...\n", argv[0]);
  return 2;
}
