// Linear layers on the CPU, in float32. The weights are read once for all rows.
#include "cpu/linear_rows.h"

#include <vector>

#include "cpu/parallel.h"

#define ZFCUDA_LOOPS "cpu/linear_rows_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

void linear_rows(const LinearRows& p) {
  if (few_rows(p)) {
    parallel(p.outputs, p.inputs(), [&](int64_t begin, int64_t end) { ZFCUDA_ISA_CALL(linear_dots(p, begin, end)); });
    return;
  }
  constexpr int64_t copied_numbers = 2 << 20;  // at most, of a thread
  const int64_t rows_at_once = std::clamp<int64_t>(copied_numbers / copied_pitch(p), 16, 1024);
  int64_t width = baseline::kPanel;
#if defined(__x86_64__)
  if (chosen_isa() == Isa::avx512) width = avx512::kPanel;
  if (chosen_isa() == Isa::avx2) width = avx2::kPanel;
#endif
  const int64_t panels = (p.outputs + width - 1) / width, parts = (p.rows + rows_at_once - 1) / rows_at_once;
  at::parallel_for(0, panels, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> packed(kPanelsAtOnce * p.positions() * channels_at_once(p) * width);
    const int64_t rows = std::min(p.rows, rows_at_once);
    std::vector<float> sums((end - begin) * rows * width), copied(rows * copied_pitch(p));
    std::vector<int64_t> places(p.height);
    for (int64_t i = 0; i < parts; ++i)
      ZFCUDA_ISA_CALL(linear_panels(p, begin, end, p.rows * i / parts, p.rows * (i + 1) / parts, packed.data(),
                                    sums.data(), copied.data(), places.data()));
  });
}

}  // namespace zfcuda::cpu
