// What stands behind a layer: nothing, ReLU, or a ReLU with a ceiling.
#pragma once

#include <limits>
#include <optional>

namespace zfcuda::cpu {

// Values below `low` become it, and those above `high`; NaN stays.
struct Limits {
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();

  static Limits of(bool relu, std::optional<double> ceiling) {
    Limits limits;
    if (relu) limits.low = 0.0f;
    if (ceiling.has_value()) limits.high = static_cast<float>(*ceiling);
    return limits;
  }
};

}  // namespace zfcuda::cpu
