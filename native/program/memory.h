// Where values lie in the working memory of a run: those that are never needed together share their place.
#pragma once

#include <memory>
#include <vector>

#include "program/step.h"

namespace espalier::program {

// Steps stand in the order in which they run. The output outlives them all. A step that reads what none before it
// has written is an error.
Placement place(const std::vector<int64_t>& sizes, const std::vector<std::unique_ptr<Step>>& steps, int output);

}  // namespace espalier::program
