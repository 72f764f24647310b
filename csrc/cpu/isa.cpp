#include "cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace zfcuda::cpu {
namespace {

Isa widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::baseline;
#else
  return Isa::baseline;
#endif
}

Isa choose() {
  const char* asked = std::getenv("ZFCUDA_ISA");
  if (asked == nullptr) return widest();
  if (std::strcmp(asked, "baseline") == 0) return Isa::baseline;
  if (std::strcmp(asked, "avx2") == 0) return std::min(Isa::avx2, widest());
  return widest();
}

}  // namespace

Isa chosen_isa() {
  static const Isa isa = choose();
  return isa;
}

const char* instruction_set() {
  switch (chosen_isa()) {
    case Isa::avx512: return "avx512";
    case Isa::avx2: return "avx2";
    default: return "baseline";
  }
}

}  // namespace zfcuda::cpu
