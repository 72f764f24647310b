// Vectors of one instruction set: VECTOR_BYTES wide, through the compiler's vector extension (GCC and Clang), so that
// the element functions are written once for numbers and vectors. No include guard: see foreach_isa.inl.

typedef float FloatV __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t IntV __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t UintV __attribute__((vector_size(VECTOR_BYTES)));
typedef double DoubleV __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t LongV __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t HalfBits __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint8_t FloatBytes __attribute__((vector_size(VECTOR_BYTES / 4)));
typedef uint8_t DoubleBytes __attribute__((vector_size(VECTOR_BYTES / 8)));

template <class To, class From>
inline To load_as(const From* p) {
  To v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V>
inline V square_root(V v) {
#if VECTOR_BYTES == 64
  if constexpr (sizeof(v[0]) == 4)
    return (V)_mm512_sqrt_ps((__m512)v);
  else
    return (V)_mm512_sqrt_pd((__m512d)v);
#elif VECTOR_BYTES == 32
  if constexpr (sizeof(v[0]) == 4)
    return (V)_mm256_sqrt_ps((__m256)v);
  else
    return (V)_mm256_sqrt_pd((__m256d)v);
#endif
  V r;
  for (unsigned i = 0; i < sizeof(V) / sizeof(v[0]); ++i)
    r[i] = sizeof(v[0]) == 4 ? __builtin_sqrtf(v[i]) : __builtin_sqrt(v[i]);
  return r;
}

template <class V>
inline V power(V v, double exponent) {
  V r;
  for (unsigned i = 0; i < sizeof(V) / sizeof(v[0]); ++i) r[i] = pow(v[i], exponent);
  return r;
}

inline FloatV half_to_float(HalfBits bits) {
#if VECTOR_BYTES == 64
  return (FloatV)_mm512_cvtph_ps((__m256i)bits);
#elif VECTOR_BYTES == 32
  return (FloatV)_mm256_cvtph_ps((__m128i)bits);
#else
  FloatV v;
  for (unsigned i = 0; i < VECTOR_BYTES / 4; ++i) v[i] = c10::detail::fp16_ieee_to_fp32_value(bits[i]);
  return v;
#endif
}

inline HalfBits float_to_half(FloatV v) {
#if VECTOR_BYTES == 64
  return (HalfBits)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
#elif VECTOR_BYTES == 32
  return (HalfBits)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#else
  HalfBits bits;
  for (unsigned i = 0; i < VECTOR_BYTES / 4; ++i) bits[i] = c10::detail::fp16_ieee_from_fp32_value(v[i]);
  return bits;
#endif
}

// Widening and narrowing of integers by hand: GCC 12 takes __builtin_convertvector to pieces here.
inline UintV widen(HalfBits v) {
#if VECTOR_BYTES == 64
  return (UintV)_mm512_cvtepu16_epi32((__m256i)v);
#elif VECTOR_BYTES == 32
  return (UintV)_mm256_cvtepu16_epi32((__m128i)v);
#else
  return __builtin_convertvector(v, UintV);
#endif
}

inline HalfBits narrow(UintV v) {  // the upper halves are zero
#if VECTOR_BYTES == 64
  return (HalfBits)_mm512_cvtepi32_epi16((__m512i)v);
#elif VECTOR_BYTES == 32
  const __m256i packed = _mm256_packus_epi32((__m256i)v, (__m256i)v);
  return (HalfBits)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
#else
  return __builtin_convertvector(v, HalfBits);
#endif
}

inline FloatV bfloat16_to_float(HalfBits bits) { return (FloatV)(widen(bits) << 16); }

inline HalfBits float_to_bfloat16(FloatV v) {
  const UintV bits = (UintV)v;
  const UintV rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  const UintV nan = UintV{} + 0x7fc0u;
  return narrow((UintV)(v != v ? (FloatV)nan : (FloatV)rounded));
}

// Whether an element is NaN.
template <class V>
inline bool any_nan(V v) {
#if VECTOR_BYTES == 64
  if constexpr (sizeof(v[0]) == 4)
    return _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q) != 0;
  else
    return _mm512_cmp_pd_mask((__m512d)v, (__m512d)v, _CMP_UNORD_Q) != 0;
#elif VECTOR_BYTES == 32
  return _mm256_movemask_epi8((__m256i)(v != v)) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_epi8((__m128i)(v != v)) != 0;
#else
  bool any = false;
  for (unsigned i = 0; i < sizeof(V) / sizeof(v[0]); ++i) any |= v[i] != v[i];
  return any;
#endif
}

// How elements stored as T are computed: as vectors `Value` with indices `Index`, `lanes` at a time.
template <class T>
struct Simd;

template <>
struct Simd<float> {
  using Number = float;
  using Value = FloatV;
  using Index = IntV;
  static constexpr int lanes = VECTOR_BYTES / 4;
  static Value load(const float* p) { return load_as<Value>(p); }
  static void store(float* p, Value v) { __builtin_memcpy(p, &v, sizeof v); }
};

template <>
struct Simd<double> {
  using Number = double;
  using Value = DoubleV;
  using Index = LongV;
  static constexpr int lanes = VECTOR_BYTES / 8;
  static Value load(const double* p) { return load_as<Value>(p); }
  static void store(double* p, Value v) { __builtin_memcpy(p, &v, sizeof v); }
};

template <>
struct Simd<c10::Half> : Simd<float> {
  static Value load(const c10::Half* p) { return half_to_float(load_as<HalfBits>(p)); }
  static void store(c10::Half* p, Value v) {
    const HalfBits bits = float_to_half(v);
    __builtin_memcpy(p, &bits, sizeof bits);
  }
};

template <>
struct Simd<c10::BFloat16> : Simd<float> {
  static Value load(const c10::BFloat16* p) { return bfloat16_to_float(load_as<HalfBits>(p)); }
  static void store(c10::BFloat16* p, Value v) {
    const HalfBits bits = float_to_bfloat16(v);
    __builtin_memcpy(p, &bits, sizeof bits);
  }
};

// One index in all lanes.
template <class T>
inline typename Simd<T>::Index splat(int64_t v) {
  return typename Simd<T>::Index{} + static_cast<std::remove_reference_t<decltype(typename Simd<T>::Index{}[0])>>(v);
}

// Switches: `lanes` bytes as indices.
template <class Index>
inline Index load_switches(const uint8_t* p) {
  constexpr bool is_int = std::is_same_v<Index, IntV>;
#if VECTOR_BYTES == 64
  if constexpr (is_int)
    return (Index)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
  else
    return (Index)_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i*)p));
#elif VECTOR_BYTES == 32
  if constexpr (is_int)
    return (Index)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  else
    return (Index)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(load_as<int>(p)));
#else
  using Bytes = std::conditional_t<is_int, FloatBytes, DoubleBytes>;
  return __builtin_convertvector(load_as<Bytes>(p), Index);
#endif
}

template <class Index>
inline void store_switches(uint8_t* p, Index v) {
  constexpr bool is_int = std::is_same_v<Index, IntV>;
#if VECTOR_BYTES == 64
  if constexpr (is_int)
    _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8((__m512i)v));
  else
    _mm_storel_epi64((__m128i*)p, _mm512_cvtepi64_epi8((__m512i)v));
#else
  using Bytes = std::conditional_t<is_int, FloatBytes, DoubleBytes>;
#if VECTOR_BYTES == 32
  // The low byte of each element of each half, then both halves together.
  const __m256i low = is_int ? _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                                -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1)
                             : _mm256_setr_epi8(0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                                -1, -1, 0, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i picked = _mm256_shuffle_epi8((__m256i)v, low);
  const __m128i both = _mm_or_si128(_mm256_castsi256_si128(picked), _mm256_extracti128_si256(picked, 1));
  __builtin_memcpy(p, &both, sizeof(Bytes));
#else
  const Bytes bytes = __builtin_convertvector(v, Bytes);
  __builtin_memcpy(p, &bytes, sizeof bytes);
#endif
#endif
}

// The same for the last n < lanes elements of a row.
template <class T>
inline typename Simd<T>::Value load_part(const T* p, int64_t n) {
#if VECTOR_BYTES == 64
  if constexpr (std::is_same_v<T, float>) return (FloatV)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#endif
  T all[Simd<T>::lanes] = {};
  __builtin_memcpy(all, p, n * sizeof(T));
  return Simd<T>::load(all);
}

template <class T>
inline void store_part(T* p, typename Simd<T>::Value v, int64_t n) {
#if VECTOR_BYTES == 64
  if constexpr (std::is_same_v<T, float>) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
    return;
  }
#endif
  T all[Simd<T>::lanes];
  Simd<T>::store(all, v);
  __builtin_memcpy(p, all, n * sizeof(T));
}

template <class Index>
inline Index load_switches_part(const uint8_t* p, int64_t n) {
  uint8_t all[VECTOR_BYTES / 4] = {};
  __builtin_memcpy(all, p, n);
  return load_switches<Index>(all);
}

template <class Index>
inline void store_switches_part(uint8_t* p, Index v, int64_t n) {
  uint8_t all[VECTOR_BYTES / 4];
  store_switches(all, v);
  __builtin_memcpy(p, all, n);
}

// Splits n elements of a row into blocks of `lanes`. The last block overlaps the one before it instead of being cut
// short, so that only rows shorter than a vector need the slow partial loads and stores.
template <class T>
struct Blocks {
  static constexpr int64_t lanes = Simd<T>::lanes;
  int64_t n;
  int64_t count() const { return (n + lanes - 1) / lanes; }
  int64_t start(int64_t block) const {
    const int64_t i = block * lanes;
    return i + lanes <= n || n < lanes ? i : n - lanes;
  }
  bool whole() const { return n >= lanes; }

  typename Simd<T>::Value load(const T* p) const { return whole() ? Simd<T>::load(p) : load_part(p, n); }
  void store(T* p, typename Simd<T>::Value v) const { whole() ? Simd<T>::store(p, v) : store_part(p, v, n); }
  typename Simd<T>::Index load_at(const uint8_t* p) const {
    using Index = typename Simd<T>::Index;
    return whole() ? load_switches<Index>(p) : load_switches_part<Index>(p, n);
  }
  void store_at(uint8_t* p, typename Simd<T>::Index v) const {
    whole() ? store_switches(p, v) : store_switches_part(p, v, n);
  }
};

// Aligned working memory of one thread.
template <class N>
class Scratch {
 public:
  Scratch(int64_t n, N value) : data_(static_cast<N*>(::operator new(n * sizeof(N), std::align_val_t{64}))) {
    for (int64_t i = 0; i < n; ++i) data_[i] = value;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(data_, std::align_val_t{64}); }
  N* get() const { return data_; }

 private:
  N* data_;
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

inline int64_t power_of_two(int64_t at_least) {
  int64_t n = 1;
  while (n < at_least) n *= 2;
  return n;
}

// a0 a1 ... and b0 b1 ... into a0 b0 a1 b1 ..., in two vectors; and back.
template <class Value, class Index>
inline void interleave(Value& a, Value& b) {
#if VECTOR_BYTES == 32  // GCC 12 permutes across the whole vector, twice as slow
  __m256i low, high;
  if constexpr (sizeof(Value{}[0]) == 4) {
    low = _mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
    high = _mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
  } else {
    low = _mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
    high = _mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
  }
  a = (Value)_mm256_permute2x128_si256(low, high, 0x20);
  b = (Value)_mm256_permute2x128_si256(low, high, 0x31);
#else
  constexpr int lanes = sizeof(Value) / sizeof(Value{}[0]);
  Index low{}, high{};
  for (int i = 0; i < lanes; ++i) {
    low[i] = i / 2 + i % 2 * lanes;
    high[i] = lanes / 2 + i / 2 + i % 2 * lanes;
  }
  const Value first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
#endif
}

// A square of numbers with its rows and columns exchanged: each round makes the highest bit of a row's number the lowest
// of a column's.
inline __attribute__((always_inline)) void transpose(FloatV (&rows)[VECTOR_BYTES / 4]) {
  constexpr int n = VECTOR_BYTES / 4;
#pragma GCC unroll 4
  for (int left = n; left > 1; left /= 2) {
    FloatV next[n];
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) {
      next[2 * i] = rows[i];
      next[2 * i + 1] = rows[i + n / 2];
      interleave<FloatV, IntV>(next[2 * i], next[2 * i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) rows[i] = next[i];
  }
}

template <class Value, class Index>
inline void deinterleave(Value& a, Value& b) {
#if VECTOR_BYTES == 32
  const __m256i low = _mm256_permute2x128_si256((__m256i)a, (__m256i)b, 0x20);
  const __m256i high = _mm256_permute2x128_si256((__m256i)a, (__m256i)b, 0x31);
  if constexpr (sizeof(Value{}[0]) == 4) {
    a = (Value)_mm256_shuffle_ps((__m256)low, (__m256)high, 0x88);
    b = (Value)_mm256_shuffle_ps((__m256)low, (__m256)high, 0xdd);
  } else {
    a = (Value)_mm256_unpacklo_epi64(low, high);
    b = (Value)_mm256_unpackhi_epi64(low, high);
  }
#else
  constexpr int lanes = sizeof(Value) / sizeof(Value{}[0]);
  Index even{}, odd{};
  for (int i = 0; i < lanes; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
  }
  const Value first = __builtin_shuffle(a, b, even);
  b = __builtin_shuffle(a, b, odd);
  a = first;
#endif
}
