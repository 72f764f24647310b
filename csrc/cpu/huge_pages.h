// Large outputs on large pages. A fresh 70 MB output is 18,000 page faults on 4 KB pages, which can take longer than
// the kernel that fills it; Linux gives 2 MB pages to memory that asks (transparent huge pages, "madvise", most
// distributions' setting). Only a hint: where it is not taken nothing changes.
#pragma once

#include <ATen/core/Tensor.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace zfcuda::cpu {

inline void use_huge_pages(const at::Tensor& fresh) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(fresh.const_data_ptr());
  const auto first = (begin + page - 1) / page * page, last = (begin + fresh.nbytes()) / page * page;
  // Smaller tensors come from the allocator's reused memory.
  if (last > first && last - first >= 4 * page) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)fresh;
#endif
}

}  // namespace zfcuda::cpu
