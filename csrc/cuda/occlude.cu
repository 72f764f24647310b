// The batch of occluded pictures on the GPU: one thread per element, whatever the dtype.
#include "cuda/launch.cuh"
#include "kernels.h"
#include "patches.h"

namespace zfcuda::cuda {
namespace {

template <class T, class I>
struct Occlude {
  const T* image;
  const T* fill;
  const int64_t* origins;
  T* output;
  I picture;  // elements of one picture
  I height, width, depth;
  int64_t rows, columns;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    const I at = i % picture, n = i / picture;
    const I x = at / depth % width, y = at / depth / width % height;
    output[i] = occluded(y, x, origins[2 * n], origins[2 * n + 1], rows, columns) ? fill[at] : image[at];
  }
};

}  // namespace

void occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, int64_t window_rows, int64_t window_columns,
             bool channels_last, Tensor& output) {
  // Only copied, so only the size of an element counts.
  const auto run = [&](auto element) {
    using T = decltype(element);
    with_index(output.numel(), 0, [&](auto index) {
      using I = decltype(index);
      each<I>(static_cast<I>(output.numel()), output,
              Occlude<T, I>{static_cast<const T*>(image.const_data_ptr()), static_cast<const T*>(fill.const_data_ptr()),
                            origins.const_data_ptr<int64_t>(), static_cast<T*>(output.mutable_data_ptr()),
                            static_cast<I>(image.numel()), static_cast<I>(image.size(2)), static_cast<I>(image.size(3)),
                            static_cast<I>(channels_last ? image.size(1) : 1), window_rows, window_columns});
    });
  };
  switch (image.element_size()) {
    case 2: run(uint16_t{}); break;
    case 4: run(uint32_t{}); break;
    default: run(uint64_t{}); break;
  }
}

}  // namespace zfcuda::cuda
