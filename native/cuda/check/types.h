// The element types a family is checked in, and how close each comes to float64.
#pragma once

#include "cuda/check/check.h"

namespace espalier::check {

struct Type {
  espalier_dtype dtype;       // of x and y
  espalier_dtype statistics;  // of what belongs to a channel, a row or a parameter
  double tolerance;
};
inline const Type kTypes[] = {{ESPALIER_FLOAT32, ESPALIER_FLOAT32, 3e-6},
                              {ESPALIER_FLOAT64, ESPALIER_FLOAT64, 1e-13},
                              {ESPALIER_FLOAT16, ESPALIER_FLOAT32, 1e-3},
                              {ESPALIER_BFLOAT16, ESPALIER_FLOAT32, 8e-3}};

}  // namespace espalier::check
