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
// Before each check: random values start anew, alike for all, and cases are counted from 0.
void begin_check();
// How many cases of the running check were affordable, and how many were not.
struct Afforded {
  int cases = 0, left_out = 0;
};
Afforded afforded();
// Hands a bench's row to the program.
void report_line(const Row& row);

}  // namespace espalier::check
