// What this core can do at most, measured.
#pragma once

namespace espalier::program {

// Floating-point operations a nanosecond of float32 multiply-adds on registers, on one thread. Measured at the first
// call, which takes about a millisecond.
double measured_peak();

}  // namespace espalier::program
