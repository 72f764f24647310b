// Compiles ZFCUDA_LOOPS once per instruction set, each in a namespace of its own: the binary is portable, and
// chosen_isa() picks at run time. Everything compiled for an instruction set must stand in its namespace, or the linker
// could keep the wide version of a shared template for all. Headers come before, compiled for the baseline.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "cpu/isa.h"
#include "window.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Vectors never cross a call that is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"
// GCC 12 takes the "any value" operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace zfcuda::cpu {

namespace baseline {
#define VECTOR_BYTES 16
#include ZFCUDA_LOOPS
#undef VECTOR_BYTES
}  // namespace baseline

#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace avx2 {
#define VECTOR_BYTES 32
#include ZFCUDA_LOOPS
#undef VECTOR_BYTES
}  // namespace avx2
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,prefer-vector-width=512")
#endif
namespace avx512 {
#define VECTOR_BYTES 64
#include ZFCUDA_LOOPS
#undef VECTOR_BYTES
}  // namespace avx512
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
// Calls the chosen namespace's function.
#define ZFCUDA_ISA_CALL(...)                                 \
  do {                                                       \
    switch (chosen_isa()) {                                  \
      case Isa::avx512: avx512::__VA_ARGS__; break;          \
      case Isa::avx2: avx2::__VA_ARGS__; break;              \
      case Isa::baseline: baseline::__VA_ARGS__; break;      \
    }                                                        \
  } while (0)
#else
#define ZFCUDA_ISA_CALL(...) baseline::__VA_ARGS__
#endif

}  // namespace zfcuda::cpu
