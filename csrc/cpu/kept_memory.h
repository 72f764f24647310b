// Memory for large outputs that is kept when they die, for those that follow. Fresh memory costs more than most kernels
// here: Linux has to clear every page, which for 74 MB takes as long as copying them, even on huge pages.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>

namespace zfcuda::cpu {

// From here on: smaller tensors come from memory that the C library reuses anyway.
constexpr std::size_t kLarge = std::size_t{8} << 20;

// An output of so many bytes is not in the caches when whoever follows reads it, however it is written.
constexpr std::size_t kBeyondCaches = std::size_t{32} << 20;

// What is kept is no more than this, of few tensors, and Linux may take it back whenever it is short of memory.
constexpr std::size_t kKeptAtMost = std::size_t{512} << 20;

c10::Allocator* kept_memory();

}  // namespace zfcuda::cpu
