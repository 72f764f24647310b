// What the kernels suppose of the caches.
#pragma once

#include <cstdint>

namespace zfcuda::cpu {

// An output of so many bytes is not in the caches when whoever follows reads it, however it is written.
constexpr std::uint64_t kBeyondCaches = std::uint64_t{32} << 20;

}  // namespace zfcuda::cpu
