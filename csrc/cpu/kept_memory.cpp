#include "cpu/kept_memory.h"

#include <c10/core/CPUAllocator.h>

#if defined(__linux__)
#include <sys/mman.h>

#include <deque>
#include <mutex>
#include <new>
#endif

namespace zfcuda::cpu {

#if defined(__linux__) && defined(MADV_HUGEPAGE) && defined(MADV_FREE)
namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;

struct Block {
  void* data;
  std::size_t size;
};

// Whole huge pages; a null pointer where there are none.
void* map(std::size_t size) {
  void* all = mmap(nullptr, size + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(all);
  const std::size_t before = (kPage - reinterpret_cast<std::uintptr_t>(all) % kPage) % kPage;
  if (before > 0) munmap(begin, before);
  if (before < kPage) munmap(begin + before + size, kPage - before);
  madvise(begin + before, size, MADV_HUGEPAGE);
  return begin + before;
}

class KeptMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t size) override {
    if (size < kLarge) return c10::GetDefaultCPUAllocator()->allocate(size);
    auto* block = new Block(take((size + kPage - 1) / kPage * kPage));
    if (block->data == nullptr) {
      delete block;
      return c10::GetDefaultCPUAllocator()->allocate(size);  // which says what is wrong
    }
    return {block->data, block, &release, c10::Device(c10::DeviceType::CPU)};
  }

  void copy_data(void* to, const void* from, std::size_t size) const override { default_copy_data(to, from, size); }

  static KeptMemory& only();

 private:
  // The smallest that fits and wastes at most a quarter, of equals the last one used; else a new one.
  Block take(std::size_t size) {
    // Never waits: a child of fork() may have inherited a lock that nobody opens.
    if (std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock); lock) {
      auto best = kept_.end();
      for (auto it = kept_.begin(); it != kept_.end(); ++it)
        if (it->size >= size && it->size - size <= size / 4 && (best == kept_.end() || it->size <= best->size)) best = it;
      if (best != kept_.end()) {
        const Block found = *best;
        kept_.erase(best);
        total_ -= found.size;
        return found;
      }
    }
    return {map(size), size};
  }

  void keep(Block block) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock || block.size > kKeptAtMost) {
      munmap(block.data, block.size);
      return;
    }
    madvise(block.data, block.size, MADV_FREE);
    kept_.push_back(block);
    for (total_ += block.size; total_ > kKeptAtMost; kept_.pop_front()) {
      total_ -= kept_.front().size;
      munmap(kept_.front().data, kept_.front().size);
    }
  }

  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    only().keep(*block);
    delete block;
  }

  std::mutex mutex_;
  std::deque<Block> kept_;  // oldest first
  std::size_t total_ = 0;
};

// Never destroyed: tensors may live longer than what is static here.
KeptMemory& KeptMemory::only() {
  static auto* memory = new KeptMemory;
  return *memory;
}

}  // namespace

c10::Allocator* kept_memory() { return &KeptMemory::only(); }
#else
c10::Allocator* kept_memory() { return c10::GetDefaultCPUAllocator(); }
#endif

}  // namespace zfcuda::cpu
