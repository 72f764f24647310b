// The batch of occluded images on the CPU: copies, whatever the dtype.
#include <cstring>

#include "cpu/parallel.h"
#include "kernels.h"

namespace zfcuda::cpu {
namespace {

// Where a window of `size` from `from` on ends in a line of `length`; neither a difference nor a sum overflows.
int64_t window_end(int64_t from, int64_t size, int64_t length) {
  return from < 0 ? std::min(length, from + size) : from + std::clamp<int64_t>(length - from, 0, size);
}

}  // namespace

void Kernels::occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, int64_t window_rows,
                      int64_t window_columns, bool channels_last, Tensor& output) {
  const int64_t channels = image.size(1), height = image.size(2), width = image.size(3);
  // Memory is `planes` planes of height x width x `depth` elements.
  const int64_t planes = channels_last ? 1 : channels, depth = channels_last ? channels : 1;
  const int64_t bytes = image.element_size() * depth;
  const char* source = static_cast<const char*>(image.const_data_ptr());
  const char* paint = static_cast<const char*>(fill.const_data_ptr());
  const int64_t* origin = origins.const_data_ptr<int64_t>();
  char* out = static_cast<char*>(output.mutable_data_ptr());
  parallel(origins.size(0) * planes, height * width * depth, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = i % planes * height * width * bytes;
      char* to = out + i * height * width * bytes;
      std::memcpy(to, source + from, height * width * bytes);
      const int64_t top = origin[i / planes * 2], left = origin[i / planes * 2 + 1];
      const int64_t y0 = std::max<int64_t>(0, top), x0 = std::max<int64_t>(0, left);
      const int64_t y1 = window_end(top, window_rows, height), x1 = window_end(left, window_columns, width);
      if (x1 <= x0) continue;
      for (int64_t y = y0; y < y1; ++y) {
        const int64_t at = (y * width + x0) * bytes;
        std::memcpy(to + at, paint + from + at, (x1 - x0) * bytes);
      }
    }
  });
}

}  // namespace zfcuda::cpu
