// Large outputs on large pages. A fresh 70 MB output is 18,000 page faults on 4 KB pages, which can take longer than
// the kernel that fills it; Linux gives 2 MB pages to memory that asks (transparent huge pages, "madvise", most
// distributions' setting). Only a hint: where it is not taken nothing changes.
#pragma once

#include <ATen/core/Tensor.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace zfcuda::cpu {

constexpr size_t kHugePage = size_t{2} << 20;

inline void use_huge_pages(const void* fresh, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const auto begin = reinterpret_cast<uintptr_t>(fresh);
  const auto first = (begin + kHugePage - 1) / kHugePage * kHugePage, last = (begin + bytes) / kHugePage * kHugePage;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)fresh, (void)bytes;
#endif
}

inline void use_huge_pages(const at::Tensor& fresh) {
  // Less comes from the allocator's reused memory.
  if (fresh.nbytes() >= 4 * kHugePage) use_huge_pages(fresh.const_data_ptr(), fresh.nbytes());
}

}  // namespace zfcuda::cpu
