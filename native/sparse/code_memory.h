// Executable memory: written first, made executable then, never both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simd/isa.h"

namespace espalier::sparse {

class CodeMemory {
 public:
  CodeMemory() = default;
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // Takes a copy of the code; false where the system gives no executable memory.
  bool hold(const std::vector<uint8_t>& code);
  const uint8_t* at(size_t offset) const { return static_cast<const uint8_t*>(base_) + offset; }
  size_t size() const { return size_; }

 private:
  void* base_ = nullptr;
  size_t size_ = 0;
};

// Whether this process may generate code at all: not with ESPALIER_JIT=0, and only where an emitter knows
// the processor. (Where none does compilers see it, and leave out all that would be emitted.)
#if ESPALIER_X86
bool can_generate();
#else
constexpr bool can_generate() { return false; }
#endif

}  // namespace espalier::sparse
