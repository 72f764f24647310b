// Local response normalisation, the arithmetic of one element. V is a number or a vector of numbers.
// No include guard: this is compiled once per instruction set (cpu/foreach_isa.inl), each time in another namespace.
// Needs square_root(V) and power(V, double).

// s ^ beta with the exponents that networks use made of square roots: an order faster than pow, and as exact.
enum class Exponent { three_quarters, half, one, any };

ZFCUDA_HOST_DEVICE Exponent exponent_of(double beta) {
  return beta == 0.75 ? Exponent::three_quarters : beta == 0.5 ? Exponent::half : beta == 1.0 ? Exponent::one : Exponent::any;
}

template <Exponent E, class V>
ZFCUDA_HOST_DEVICE V lrn_power(V s, double beta) {
  if constexpr (E == Exponent::one) {
    return s;
  } else if constexpr (E == Exponent::half) {
    return square_root(s);
  } else if constexpr (E == Exponent::three_quarters) {
    const V root = square_root(s);
    return root * square_root(root);
  } else {
    return power(s, beta);
  }
}

// `squares`: the sum of x^2 over the neighbourhood. NaN and infinity come out as they do in torch.
template <Exponent E, class V, class A>
ZFCUDA_HOST_DEVICE V lrn_forward(V x, V squares, A scale, A k, double beta) {
  return x / lrn_power<E>(k + scale * squares, beta);
}

// The gradient in two steps. First, per output c, what all inputs of its neighbourhood share: g x s^(-beta - 1); and
// what only input c gets: g s^-beta.
template <Exponent E, class V, class A>
ZFCUDA_HOST_DEVICE void lrn_backward_parts(V g, V x, V squares, A scale, A k, double beta, V& own, V& shared) {
  const V s = k + scale * squares;
  own = g / lrn_power<E>(s, beta);
  shared = own * x / s;
}

// Then, per input: `shared` summed over the outputs whose neighbourhood it is in.
template <class V, class A>
ZFCUDA_HOST_DEVICE V lrn_backward(V own, V x, V shared, A scale, A beta) {
  return own - 2 * scale * beta * x * shared;
}
