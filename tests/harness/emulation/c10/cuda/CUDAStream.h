// Stands before torch's header of this name on the emulation's include path.
#pragma once

namespace c10::cuda {

inline void* getCurrentCUDAStream() { return nullptr; }

}  // namespace c10::cuda
