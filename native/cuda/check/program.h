// What the program knows of the checks that registered.
#pragma once

#include <vector>

#include "cuda/check/check.h"

namespace espalier::check {

struct Entry {
  const char* name;
  void (*run)();
  bool bench;
};
// In the order of registration.
std::vector<Entry>& entries();
// Makes the random values start anew, alike for every check.
void reseed();
// Hands a bench's row to the program.
void report_line(const Row& row);

}  // namespace espalier::check
