// Local response normalisation over working memory, for LRN itself and the fused stage.
// No include guard: see foreach_isa.inl.

// The sum of `size` vectors, `step` elements apart.
template <class N>
inline typename Simd<N>::Value sum_of(const N* squares, int64_t size, int64_t step) {
  auto sum = Simd<N>::load(squares);
  for (int64_t j = 1; j < size; ++j) sum += Simd<N>::load(squares + j * step);
  return sum;
}

// One pixel, channels_last. x: [C]; squares: those of x, with norm.before zeros before and norm.after behind.
template <Exponent E, class T>
inline void lrn_pixel(const T* x, const typename Simd<T>::Number* squares, int64_t channels, const Norm& norm, T* output) {
  using N = typename Simd<T>::Number;
  const Blocks<T> blocks{channels};
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t c = blocks.start(b);
    const auto sum = norm.size == 5 ? sum_of(squares + c, 5, 1) : sum_of(squares + c, norm.size, 1);
    blocks.store(output + c, lrn_forward<E>(blocks.load(x + c), sum, N(norm.scale), N(norm.k), norm.beta));
  }
}

// A template parameter for the exponent, so that the loops do not branch on it.
#define ZFCUDA_WITH_EXPONENT(beta, ...)                                                       \
  switch (exponent_of(beta)) {                                                                \
    case Exponent::three_quarters: { constexpr auto E = Exponent::three_quarters; __VA_ARGS__; break; } \
    case Exponent::half: { constexpr auto E = Exponent::half; __VA_ARGS__; break; }           \
    case Exponent::one: { constexpr auto E = Exponent::one; __VA_ARGS__; break; }             \
    case Exponent::any: { constexpr auto E = Exponent::any; __VA_ARGS__; break; }             \
  }
