// Local response normalisation for one instruction set. No include guard: see foreach_isa.inl.
#include "cpu/simd.inl"
#include "lrn.inl"
#include "cpu/lrn_rows.inl"

// Pixels done together, so that the squares are long stored when they are read at other alignments.
constexpr int64_t kTogether = 8;

template <Exponent E, class T>
void lrn_nhwc(const T* input, int64_t channels, const Norm& norm, T* output, int64_t begin, int64_t end) {
  using N = typename Simd<T>::Number;
  const int64_t length = round_up(channels + norm.size, 64) + 64;
  Scratch<N> squares(kTogether * length, N{});
  const Blocks<T> blocks{channels};
  for (int64_t i = begin; i < end; i += kTogether) {
    const int64_t pixels = end - i < kTogether ? end - i : kTogether;
    for (int64_t g = 0; g < pixels; ++g)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t c = blocks.start(b);
        const auto x = blocks.load(input + (i + g) * channels + c);
        Blocks<N>{channels}.store(squares.get() + g * length + norm.before + c, x * x);
      }
    for (int64_t g = 0; g < pixels; ++g)
      lrn_pixel<E>(input + (i + g) * channels, squares.get() + g * length, channels, norm,
                   output + (i + g) * channels);
  }
}

// NCHW: the pixels of an image in pieces that fit the L2 cache with all their channels.
template <class T>
inline int64_t piece_of(int64_t channels) {
  const int64_t fits = 131072 / static_cast<int64_t>(sizeof(typename Simd<T>::Number)) / channels;
  return fits < 64 ? 64 : fits > 1024 ? 1024 : fits / 64 * 64;
}

template <Exponent E, class T>
void lrn_nchw(const T* input, int64_t channels, int64_t area, const Norm& norm, T* output, int64_t begin, int64_t end) {
  using N = typename Simd<T>::Number;
  const int64_t piece = piece_of<T>(channels), pieces = (area + piece - 1) / piece;
  Scratch<N> squares((channels + norm.size) * piece, N{});
  for (int64_t i = begin; i < end; ++i) {
    const int64_t from = i % pieces * piece, left = area - from;
    const Blocks<T> blocks{left < piece ? left : piece};
    const int64_t at = i / pieces * channels * area + from;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const auto x = blocks.load(input + at + c * area + blocks.start(b));
        Simd<N>::store(squares.get() + (norm.before + c) * piece + blocks.start(b), x * x);
      }
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t q = blocks.start(b), x = at + c * area + q;
        const auto sum = norm.size == 5 ? sum_of(squares.get() + c * piece + q, 5, piece)
                                        : sum_of(squares.get() + c * piece + q, norm.size, piece);
        blocks.store(output + x, lrn_forward<E>(blocks.load(input + x), sum, N(norm.scale), N(norm.k), norm.beta));
      }
  }
}

// ---------------------------------------------------------------- gradient

// squares and shared have zeros for the channels that do not exist; own and shared are written first, then summed.
template <Exponent E, class T>
void lrn_backward_nhwc(const T* grad, const T* input, int64_t channels, const Norm& norm, T* output, int64_t begin,
                       int64_t end) {
  using S = Simd<T>;
  using N = typename S::Number;
  const int64_t length = round_up(channels + norm.size, 64) + 64;
  Scratch<N> squares(length, N{}), shared(length, N{}), own(length, N{});
  const Blocks<T> blocks{channels};
  const Blocks<N> whole{channels};
  for (int64_t i = begin; i < end; ++i) {
    const T *x = input + i * channels, *g = grad + i * channels;
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t c = blocks.start(b);
      const auto v = blocks.load(x + c);
      whole.store(squares.get() + norm.before + c, v * v);
    }
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t c = blocks.start(b);
      typename S::Value a, s;
      lrn_backward_parts<E>(blocks.load(g + c), blocks.load(x + c), sum_of(squares.get() + c, norm.size, 1), N(norm.scale),
                            N(norm.k), norm.beta, a, s);
      whole.store(own.get() + c, a);
      whole.store(shared.get() + norm.after + c, s);
    }
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t c = blocks.start(b);
      blocks.store(output + i * channels + c,
                   lrn_backward(whole.load(own.get() + c), blocks.load(x + c), sum_of(shared.get() + c, norm.size, 1),
                                N(norm.scale), N(norm.beta)));
    }
  }
}

template <Exponent E, class T>
void lrn_backward_nchw(const T* grad, const T* input, int64_t channels, int64_t area, const Norm& norm, T* output,
                       int64_t begin, int64_t end) {
  using S = Simd<T>;
  using N = typename S::Number;
  const int64_t piece = piece_of<T>(channels), pieces = (area + piece - 1) / piece;
  const int64_t size = (channels + norm.size) * piece;
  Scratch<N> squares(size, N{}), shared(size, N{}), own(size, N{});
  for (int64_t i = begin; i < end; ++i) {
    const int64_t from = i % pieces * piece, left = area - from;
    const Blocks<T> blocks{left < piece ? left : piece};
    const int64_t at = i / pieces * channels * area + from;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const auto v = blocks.load(input + at + c * area + blocks.start(b));
        Simd<N>::store(squares.get() + (norm.before + c) * piece + blocks.start(b), v * v);
      }
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t q = blocks.start(b), x = at + c * area + q;
        typename S::Value a, s;
        lrn_backward_parts<E>(blocks.load(grad + x), blocks.load(input + x),
                              sum_of(squares.get() + c * piece + q, norm.size, piece), N(norm.scale), N(norm.k),
                              norm.beta, a, s);
        Simd<N>::store(own.get() + c * piece + q, a);
        Simd<N>::store(shared.get() + (norm.after + c) * piece + q, s);
      }
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t q = blocks.start(b), x = at + c * area + q;
        blocks.store(output + x, lrn_backward(Simd<N>::load(own.get() + c * piece + q), blocks.load(input + x),
                                              sum_of(shared.get() + c * piece + q, norm.size, piece), N(norm.scale),
                                              N(norm.beta)));
      }
  }
}

// ---------------------------------------------------------------- one entry for all exponents

template <class T>
void lrn_run(const T* input, int64_t channels, int64_t area, const Norm& norm, bool channels_last, T* output,
             int64_t begin, int64_t end) {
  ZFCUDA_WITH_EXPONENT(norm.beta, {
    if (channels_last)
      lrn_nhwc<E>(input, channels, norm, output, begin, end);
    else
      lrn_nchw<E>(input, channels, area, norm, output, begin, end);
  })
}

template <class T>
void lrn_backward_run(const T* grad, const T* input, int64_t channels, int64_t area, const Norm& norm, bool channels_last,
                      T* output, int64_t begin, int64_t end) {
  ZFCUDA_WITH_EXPONENT(norm.beta, {
    if (channels_last)
      lrn_backward_nhwc<E>(grad, input, channels, norm, output, begin, end);
    else
      lrn_backward_nchw<E>(grad, input, channels, area, norm, output, begin, end);
  })
}

// How many pieces of work the NCHW loops make of one image.
template <class T>
int64_t lrn_pieces(int64_t channels, int64_t area) {
  const int64_t piece = piece_of<T>(channels);
  return (area + piece - 1) / piece;
}
