/*
 * The product of kernels/lowbit with four bits without minima, one token at a time, in 128-bit intrinsics: what the same
 * operations take outside of WebAssembly. native IN OUT RUNS: IN holds panels, groups and whether inputs are narrow as 32-bit
 * integers, then weights, scales and inputs as the kernels hold them; OUT gets the outputs; the median of RUNS in ms is printed.
 */
#include <smmintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { input_bytes = 144, group_bytes = 128 };

static inline __m128i splat(const char *at) {
  return _mm_castps_si128(_mm_load1_ps((const float *)at));
}

static inline __m128i plus(__m128i to, __m128i codes, __m128i x) {
  return _mm_add_epi32(to, _mm_madd_epi16(codes, x));
}

static inline __m128i plus_words(__m128i to, __m128i codes, __m128i x) {
  return _mm_add_epi16(to, _mm_mullo_epi16(codes, x));
}

static inline __m128 added(__m128 to, __m128i sum, const char *scales, const char *inputs) {
  __m128 value = _mm_mul_ps(_mm_cvtepi32_ps(sum), _mm_loadu_ps((const float *)scales));
  return _mm_add_ps(to, _mm_mul_ps(value, _mm_load1_ps((const float *)(inputs + 128))));
}

static inline __m128i gathered(__m128i ends, __m128i by16, __m128i by256) {
  return _mm_add_epi32(ends, _mm_add_epi32(_mm_srai_epi32(by16, 4), _mm_srai_epi32(by256, 8)));
}

static inline __attribute__((always_inline)) void panels4(const char *w, const char *scales, int groups, const char *x, float *out, int panels, int narrow) {
  const __m128i n0 = _mm_set1_epi16(0xf), n1 = _mm_set1_epi16(0xf0), n2 = _mm_set1_epi16(0xf00), ones = _mm_set1_epi16(1), zero = _mm_setzero_si128();
  for (int p = 0; p < panels; p++) {
    const char *at = w + (size_t)p * groups * group_bytes, *s = scales + (size_t)p * groups * 32;
    __m128 left = _mm_setzero_ps(), right = left;
    for (const char *inputs = x, *end = x + (size_t)groups * input_bytes; inputs < end; inputs += input_bytes, s += 32) {
      __m128i a = splat(inputs + 136), b = a, a1 = zero, b1 = zero, a2 = zero, b2 = zero;
      const char *from = narrow ? inputs + 64 : inputs;
      for (const char *stop = at + group_bytes; at < stop; at += 32, from += 16) {
        const __m128i u = _mm_loadu_si128((const __m128i *)at), v = _mm_loadu_si128((const __m128i *)(at + 16));
        const __m128i x0 = splat(from), x1 = splat(from + 4), x2 = splat(from + 8), x3 = splat(from + 12);
        if (narrow) {
          a = plus_words(plus_words(a, u, x0), _mm_srli_epi16(u, 4), x1);
          b = plus_words(plus_words(b, v, x0), _mm_srli_epi16(v, 4), x1);
          a = plus_words(plus_words(a, _mm_srli_epi16(u, 8), x2), _mm_srli_epi16(u, 12), x3);
          b = plus_words(plus_words(b, _mm_srli_epi16(v, 8), x2), _mm_srli_epi16(v, 12), x3);
        } else {
          a = plus(plus(a, _mm_and_si128(u, n0), x0), _mm_srli_epi16(u, 12), x3);
          b = plus(plus(b, _mm_and_si128(v, n0), x0), _mm_srli_epi16(v, 12), x3);
          a1 = plus(a1, _mm_and_si128(u, n1), x1);
          b1 = plus(b1, _mm_and_si128(v, n1), x1);
          a2 = plus(a2, _mm_and_si128(u, n2), x2);
          b2 = plus(b2, _mm_and_si128(v, n2), x2);
        }
      }
      a = narrow ? _mm_madd_epi16(a, ones) : gathered(a, a1, a2);
      b = narrow ? _mm_madd_epi16(b, ones) : gathered(b, b1, b2);
      left = added(left, a, s, inputs);
      right = added(right, b, s + 16, inputs);
    }
    _mm_storeu_ps(out + 8 * p, left);
    _mm_storeu_ps(out + 8 * p + 4, right);
  }
}

/* As in the WASM kernels, what inputs are is settled outside of the loops. */
static __attribute__((noinline)) void product(const char *w, const char *scales, int groups, const char *x, float *out, int panels, int narrow) {
  if (narrow) panels4(w, scales, groups, x, out, panels, 1);
  else panels4(w, scales, groups, x, out, panels, 0);
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **given) {
  int head[3];
  FILE *in = count == 4 ? fopen(given[1], "rb") : NULL;
  if (in == NULL || fread(head, 4, 3, in) != 3) return 1;
  const size_t sides = (size_t)head[0] * head[1], sizes[3] = { sides * group_bytes, sides * 32, (size_t)head[1] * input_bytes };
  char *parts[3];
  for (int i = 0; i < 3; i++) {
    parts[i] = aligned_alloc(64, (sizes[i] + 63) / 64 * 64);
    if (parts[i] == NULL || fread(parts[i], 1, sizes[i], in) != sizes[i]) return 1;
  }
  float *out = malloc((size_t)head[0] * 32);
  const int runs = atoi(given[3]);
  double *times = malloc(runs * sizeof *times);
  for (int i = -1; i < runs; i++) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    product(parts[0], parts[1], head[1], parts[2], out, head[0], head[2]);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (i >= 0) times[i] = (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6;
  }
  qsort(times, runs, sizeof *times, ascending);
  printf("%f\n", times[runs / 2]);
  FILE *to = fopen(given[2], "wb");
  return to == NULL || fwrite(out, 32, head[0], to) != (size_t)head[0] || fclose(to) != 0;
}
