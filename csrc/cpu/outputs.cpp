// Large blocks of memory that wait for their next use.
#include "cpu/outputs.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>

// Sanitizers see more where every output is a block of its own.
#if defined(__has_feature)
#define ZFCUDA_HAS_FEATURE(name) __has_feature(name)
#else
#define ZFCUDA_HAS_FEATURE(name) 0
#endif
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !ZFCUDA_HAS_FEATURE(address_sanitizer)

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "cpu/huge_pages.h"

namespace zfcuda::cpu {
namespace {

constexpr size_t kKept = size_t{128} << 20;  // bytes that may wait
constexpr size_t kLarge = 2 * kHugePage;      // whole pages are at most half as much again

struct Block {
  void* memory;
  size_t size;
};

// The blocks that wait, the oldest first. A thread that finds the list in use does without it: nobody waits for anybody,
// and a process that was forked meanwhile still has memory.
class Waiting {
 public:
  // A block of at least `size` bytes and at most twice as many; else none.
  void* take(size_t size) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    auto best = blocks_.end();
    for (auto b = blocks_.begin(); b != blocks_.end(); ++b)
      if (b->size >= size && b->size <= 2 * size && (best == blocks_.end() || b->size < best->size)) best = b;
    if (best == blocks_.end()) return nullptr;
    void* memory = best->memory;
    total_ -= best->size;
    blocks_.erase(best);
    return memory;
  }

  void keep(const Block& block) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock || block.size > kKept) {
      std::free(block.memory);
      return;
    }
#if defined(MADV_FREE)
    madvise(block.memory, block.size, MADV_FREE);  // the system may have the pages when it is short of memory
#endif
    blocks_.push_back(block);
    total_ += block.size;
    while (total_ > kKept) {
      total_ -= blocks_.front().size;
      std::free(blocks_.front().memory);
      blocks_.erase(blocks_.begin());
    }
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
  size_t total_ = 0;
};

Waiting& waiting() {
  static Waiting* const all = new Waiting;  // never destroyed: tensors may outlive everything
  return *all;
}

void give_back(void* context) {
  const std::unique_ptr<Block> block(static_cast<Block*>(context));
  c10::profiledCPUMemoryReporter().Delete(block->memory);
  waiting().keep(*block);
}

struct Outputs final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < kLarge) return c10::GetCPUAllocator()->allocate(bytes);
    const size_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    auto block = std::make_unique<Block>(Block{waiting().take(size), size});
    if (block->memory == nullptr) {
      if (posix_memalign(&block->memory, kHugePage, size) != 0) {
        c10::profiledCPUMemoryReporter().OutOfMemory(bytes);
        TORCH_CHECK_WITH(OutOfMemoryError, false, "an output of ", bytes, " bytes: out of memory");
      }
      use_huge_pages(block->memory, size);
    }
    c10::profiledCPUMemoryReporter().New(block->memory, bytes);
    void* memory = block->memory;
    return {memory, block.release(), &give_back, at::kCPU};
  }

  void copy_data(void* to, const void* from, size_t count) const override { default_copy_data(to, from, count); }
};

}  // namespace

at::Tensor empty_output(at::IntArrayRef shape, at::ScalarType type, at::MemoryFormat format) {
  static Outputs* const outputs = new Outputs;
  return at::Tensor(at::detail::empty_generic(shape, outputs, c10::DispatchKeySet(c10::DispatchKey::CPU), type, format));
}

}  // namespace zfcuda::cpu

#else

namespace zfcuda::cpu {

at::Tensor empty_output(at::IntArrayRef shape, at::ScalarType type, at::MemoryFormat format) {
  return at::empty(shape, at::TensorOptions().dtype(type).memory_format(format));
}

}  // namespace zfcuda::cpu

#endif
