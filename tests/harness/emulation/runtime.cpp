// Runs a grid: shuffles blocks and threads, switches threads at barriers, poisons shared memory, checks the launch.
#include <sys/mman.h>
#include <ucontext.h>

#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cuda/divide.cuh"
#include "cuda_emulation.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

dim3 gridDim, blockDim, blockIdx, threadIdx;

// launch.cuh declares it without a size.
namespace zfcuda::cuda {
constexpr size_t kShared = 48 * 1024;  // what every GPU gives a block without asking
constexpr size_t kMargin = 1024;
alignas(16) unsigned char dynamic_shared[kShared + kMargin];
}  // namespace zfcuda::cuda

namespace emulation {

using zfcuda::cuda::dynamic_shared;
using zfcuda::cuda::kMargin;
using zfcuda::cuda::kShared;

int64_t int32_elements;
int planted = 0;

const char* library_name() { return EMULATION_LIBRARY; }

namespace {

struct Settings {
  unsigned threads, most_blocks, sampled_blocks;  // 0: as launched
} settings;
std::mt19937_64 shuffler;
int64_t launches = 0;
const char* launched = "";
std::string complaint;

constexpr size_t kStack = 256 * 1024;
constexpr unsigned char kCanary = 0xA5;

struct Fiber {
  ucontext_t context;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int line = 0;  // of the barrier that it waits at
  bool done = false;
};

std::vector<Fiber> fibers;
ucontext_t scheduler;
Fiber* running = nullptr;  // null: outside, or a launch without shared memory, whose threads need no fiber
void (*body)(void*);
void* kernel;

// AddressSanitizer has to know which stack is in use.
void enter(Fiber& fiber) {
  running = &fiber;
#ifdef __SANITIZE_ADDRESS__
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack, kStack);
#endif
  swapcontext(&scheduler, &fiber.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  running = nullptr;
}

#ifdef __SANITIZE_ADDRESS__
const void* scheduler_stack;
size_t scheduler_size;
#endif

void entered(void* fake) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#else
  (void)fake;
#endif
}

void leave(Fiber& fiber) {
#ifdef __SANITIZE_ADDRESS__
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(fiber.done ? nullptr : &fake, scheduler_stack, scheduler_size);
#else
  void* fake = nullptr;
#endif
  swapcontext(&fiber.context, &scheduler);
  entered(fake);
}

void fiber_main() {
  entered(nullptr);
  Fiber& fiber = *running;
  body(kernel);
  fiber.done = true;
  leave(fiber);
}

// Every thread to its next barrier, and again, until all are through.
bool run_with_barriers(std::vector<unsigned>& threads) {
  if (fibers.size() < threads.size()) fibers = std::vector<Fiber>(threads.size());
  for (const unsigned t : threads) {
    Fiber& fiber = fibers[t];
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
  }
  for (;;) {
    std::shuffle(threads.begin(), threads.end(), shuffler);
    for (const unsigned t : threads) {
      threadIdx.x = t;
      enter(fibers[t]);
    }
    const Fiber& first = fibers[threads[0]];
    for (const unsigned t : threads)
      if (fibers[t].done != first.done || (!first.done && fibers[t].line != first.line)) {
        complaint = "the threads of a block part at __syncthreads";
        return false;
      }
    if (first.done) return true;
  }
}

bool run_block(size_t shared, std::vector<unsigned>& threads) {
  if (shared == 0) {
    std::shuffle(threads.begin(), threads.end(), shuffler);
    for (const unsigned t : threads) {
      threadIdx.x = t;
      body(kernel);
    }
    return complaint.empty();
  }
  // Read before it is written, it is NaN; beyond what was asked for lies a trap.
  std::memset(dynamic_shared, 0xFF, shared);
  unsigned char* const end = dynamic_shared + shared;
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(end, kMargin);
  const bool ran = run_with_barriers(threads);
  ASAN_UNPOISON_MEMORY_REGION(end, kMargin);
#else
  std::memset(end, kCanary, kMargin);
  bool ran = run_with_barriers(threads);
  if (ran && std::any_of(end, end + kMargin, [](unsigned char c) { return c != kCanary; })) {
    complaint = "written beyond shared memory";
    ran = false;
  }
#endif
  return ran;
}

}  // namespace

const char* error() { return complaint.c_str(); }

void barrier(int line) {
  if (running == nullptr) {
    complaint = "__syncthreads in a launch without shared memory";
    return;
  }
  running->line = line;
  leave(*running);
}

cudaError_t run(const cudaLaunchConfig_t& config, const char* name, void (*thread)(void*), void* call) {
  ++launches;
  launched = name;
  complaint.clear();
  if (config.gridDim.x == 0 || config.gridDim.x > INT32_MAX || config.blockDim.x == 0 || config.blockDim.x > 1024 ||
      config.dynamicSmemBytes > kShared) {
    complaint = "a launch that no GPU would take";
    return cudaErrorInvalidConfiguration;
  }
  body = thread;
  kernel = call;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  if (settings.threads != 0) blockDim.x = settings.threads;
  // Kernels stride through the grid, so any grid has to do.
  if (settings.most_blocks != 0) gridDim.x = std::min(gridDim.x, settings.most_blocks);
  std::vector<unsigned> threads(blockDim.x), blocks;
  std::iota(threads.begin(), threads.end(), 0u);
  // Of a grid too large to run: some blocks at both ends.
  const unsigned sampled = settings.sampled_blocks;
  for (unsigned b = 0; b < gridDim.x; ++b) {
    if (sampled != 0 && b == sampled && gridDim.x > 2 * sampled) b = gridDim.x - sampled;
    blocks.push_back(b);
  }
  std::shuffle(blocks.begin(), blocks.end(), shuffler);
  for (const unsigned b : blocks) {
    blockIdx.x = b;
    if (!run_block(config.dynamicSmemBytes, threads)) return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

}  // namespace emulation

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED void emulation_set(unsigned threads, unsigned most_blocks, unsigned sampled_blocks, int64_t int32_elements,
                            uint64_t seed) {
  emulation::settings = {threads, most_blocks, sampled_blocks};
  emulation::int32_elements = int32_elements;
  emulation::shuffler.seed(seed);
}

EXPORTED int64_t emulation_launches() { return emulation::launches; }

EXPORTED const char* emulation_kernel() { return emulation::launched; }

EXPORTED void emulation_quotients(const int32_t* numbers, int64_t count, int32_t divisor, int32_t* quotients) {
  const zfcuda::cuda::Divider<int32_t> by(divisor);
  for (int64_t i = 0; i < count; ++i) quotients[i] = by.quotient(numbers[i]);
}

EXPORTED void emulation_plant(int bug) { emulation::planted = bug; }
