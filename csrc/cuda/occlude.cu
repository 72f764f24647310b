// The batch of occluded images on the GPU: a thread per element, whatever the dtype, or per 16 bytes of a row.
#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "kernels.h"
#include "patches.h"

namespace zfcuda::cuda {
namespace {

template <class T, class I, int N>
struct Occlude {
  const T* image;
  const T* fill;
  const int64_t* origins;
  T* output;
  I depth;
  Divider<I> row, rows;      // packs of N elements in a row, rows of an image: NCHW has those of all channels
  Divider<I> height, pixel;  // rows of a plane, elements of a pixel
  int64_t window_rows, window_columns;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    I n = i;
    const I from = take(n, row) * N;
    I line = take(n, rows);
    const I at = line * row.divisor() * N + from, y = take(line, height);
    const int64_t top = origins[2 * n], left = origins[2 * n + 1];
    I x = from, c = take(x, pixel);
    Pack<T, N> values = read<N>(image + at);
    const Pack<T, N> fills = read<N>(fill + at);
    ZFCUDA_UNROLL
    for (int k = 0; k < N; ++k) {
      if (occluded(y, x, top, left, window_rows, window_columns)) values.of[k] = fills.of[k];
      // The next element's pixel.
      if (++c == depth) {
        c = 0;
        ++x;
      }
    }
    write(output + i * N, values);
  }
};

}  // namespace

void Kernels::occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, int64_t window_rows,
                      int64_t window_columns, bool channels_last, Tensor& output) {
  if (output.numel() == 0) return;
  const int64_t depth = channels_last ? image.size(1) : 1, row = image.size(3) * depth, rows = image.numel() / row;
  // Only copied, so only the size of an element counts.
  const auto run = [&](auto element, auto pack) {
    using T = decltype(element);
    constexpr int N = decltype(pack)::value;
    with_index(output.numel(), 0, [&](auto index) {
      using I = decltype(index);
      each<I>(static_cast<I>(output.numel() / N), output,
              Occlude<T, I, N>{static_cast<const T*>(image.const_data_ptr()),
                               static_cast<const T*>(fill.const_data_ptr()), origins.const_data_ptr<int64_t>(),
                               static_cast<T*>(output.mutable_data_ptr()), static_cast<I>(depth),
                               Divider<I>(static_cast<I>(row / N)), Divider<I>(static_cast<I>(rows)),
                               Divider<I>(static_cast<I>(image.size(2))), Divider<I>(static_cast<I>(depth)),
                               window_rows, window_columns});
    });
  };
  const auto run_packs = [&](auto element) {
    constexpr int N = kPack<decltype(element)>;
    if (row % N == 0 && aligned(image.const_data_ptr()) && aligned(fill.const_data_ptr()))
      run(element, std::integral_constant<int, N>{});
    else
      run(element, std::integral_constant<int, 1>{});
  };
  switch (image.element_size()) {
    case 2: run_packs(uint16_t{}); break;
    case 4: run_packs(uint32_t{}); break;
    default: run_packs(uint64_t{}); break;
  }
}

}  // namespace zfcuda::cuda
