// A pointer that generated code moves along an array.
#pragma once

#include <cstdint>

#include "sparse/assembler.h"

namespace espalier::sparse {

// Where a pointer register stands in its array, as the code is written.
struct Walk {
  Gpr base;
  int32_t reach;
  bool down = false;  // from the array's end
  int32_t position = 0;
  // A displacement from the register to `target`; moves the register where one byte would not hold it.
  int32_t to(Assembler& code, int32_t target) {
    if (target - position >= reach || target - position < -reach) {
      // (Displacements go from −reach to a 128th less than reach.)
      const int32_t there = down ? target - (reach - reach / 128) : target + reach;
      code.add(base, there - position);
      position = there;
    }
    return target - position;
  }
};

}  // namespace espalier::sparse
