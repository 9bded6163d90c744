// Where values lie in the working memory of a run: those that are never needed together share their place.
#pragma once

#include <memory>
#include <vector>

#include "program/step.h"

namespace espalier::program {

struct Placement {
  std::vector<int64_t> offsets;  // of each value, in elements a sample; the input has none
  int64_t total = 0;             // elements a sample
  int64_t separate = 0;          // what it would be if nothing were shared
};

// Steps stand in the order in which they run. The output outlives them all. A step that reads what none before it
// has written is an error.
Placement place(const std::vector<int64_t>& sizes, const std::vector<std::unique_ptr<Step>>& steps, int output);

}  // namespace espalier::program
