// Linear layers on the CPU, in float32. The weights are read once for all rows.
#include "cpu/linear_rows.h"

#include <vector>

#include "cpu/parallel.h"

#define ZFCUDA_LOOPS "cpu/linear_rows_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

constexpr int64_t kPanelsAtOnce = 8, kPackedNumbers = 4 << 20;

void linear_rows(LinearRows p) {
  if (few_rows(p)) {
    parallel(p.outputs, p.inputs(), [&](int64_t begin, int64_t end) { ZFCUDA_ISA_CALL(linear_dots(p, begin, end)); });
    return;
  }
  constexpr int64_t rows_at_once = 1024;
  int64_t width = baseline::kPanel;
#if defined(__x86_64__)
  if (chosen_isa() == Isa::avx512) width = avx512::kPanel;
  if (chosen_isa() == Isa::avx2) width = avx2::kPanel;
#endif
  const int64_t panels = (p.outputs + width - 1) / width, parts = (p.rows + rows_at_once - 1) / rows_at_once;
  // Several panels for one reading of the rows; fewer where their weights would not stay in the cache between the
  // tiles, or where there would not be a few pieces of work for each thread.
  const int64_t size = runs_of(p) * (run_of(p) + 1) * width;
  const int64_t together = std::clamp<int64_t>(
      std::min(kPackedNumbers / size, panels * parts / (2 * at::get_num_threads())), 1, kPanelsAtOnce);
  const int64_t groups = (panels + together - 1) / together;
  // Rows a page apart would push each other out of the cache.
  std::vector<float> apart;
  if (p.pitch % 512 == 0) {
    apart.resize(p.rows * (p.pitch + 16));
    parallel(p.rows, p.pitch, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        std::copy_n(p.input + i * p.pitch, p.inputs(), apart.data() + i * (p.pitch + 16));
    });
    p.input = apart.data();
    p.pitch += 16;
  }
  at::parallel_for(0, groups * parts, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> packed(together * size), sums(std::min(p.rows, rows_at_once) * together * width);
    std::vector<int64_t> places(2 * runs_at_once(p));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * p.rows / parts, last = (i % parts + 1) * p.rows / parts;
      const int64_t panel = i / parts * together, count = std::min(together, panels - panel);
      ZFCUDA_ISA_CALL(linear_panels(p, panel, count, first, last, packed.data(), sums.data(), places.data()));
    }
  });
}

}  // namespace zfcuda::cpu
