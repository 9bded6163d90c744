// Lines of whole rows in registers, as generated code has them: conv_shifted.cc, conv_shifted_grad.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "sparse/assembler.h"
#include "sparse/conv_lines.h"
#include "sparse/walk.h"

namespace espalier::sparse {

inline int64_t divide_down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Where a term's operand stands: a line, and how many lanes further on.
struct ShiftedLine {
  int32_t line;
  int32_t shift;
  bool operator==(const ShiftedLine&) const = default;
};

// How a row lies in lines: `vectors` of them, `units` images side by side in each.
struct Form {
  explicit Form(const Packing& packing)
      : vectors(packing.tiling.vectors),
        units(packing.tiling.units),
        columns(packing.tiling.columns),
        width(packing.columns.out),
        row(packing.base(1, 0, 0)),
        channel(packing.channel) {}

  int64_t vectors, units, columns;
  int64_t width;         // of the outputs
  int64_t row, channel;  // lines from what an output row reads to what the next one reads, and of an input channel

  // What a weight of input channel `in`, row place `row`, and so many columns to the right, meets at output line
  // `vector` of a row.
  ShiftedLine of(int64_t in, int64_t place, int64_t column, int64_t vector) const {
    const int64_t at = column + vector, shift = at >> (vectors - 1);  // vectors are 1 or 2
    return {static_cast<int32_t>(in * channel + place * vectors + at - shift * vectors), static_cast<int32_t>(shift)};
  }
  // Which lanes have a lane `by` further on in their image.
  int32_t lanes(int64_t by) const {
    int32_t bits = 0;
    for (int64_t i = 0; i < kLine; ++i) {
      const int64_t to = i % columns + by;
      if (to >= 0 && to < columns) bits |= 1 << i;
    }
    return bits;
  }
};

// The shifts that a piece of code makes, a mask register each.
class Shifts {
 public:
  static constexpr int64_t kMost = 7;
  void add(int shift) {
    if (shift != 0 && std::find(of_.begin(), of_.end(), shift) == of_.end()) of_.push_back(shift);
  }
  int mask(int shift) const { return 1 + static_cast<int>(std::find(of_.begin(), of_.end(), shift) - of_.begin()); }
  // eax is overwritten.
  void set_masks(Assembler& code, const Form& form) const {
    for (const int shift : of_) code.set_mask(mask(shift), form.lanes(shift));
  }

 private:
  std::vector<int> of_;
};

// `count` registers from `First` on, at most `Count`, that hold input lines as the code is written; rdx points to the
// lines.
template <int First, int Count>
class HeldLines {
 public:
  HeldLines(Assembler& code, const Shifts& shifts, int32_t first_line, int count = Count)
      : code_(code), shifts_(shifts), first_line_(first_line) {
    held_.fill({-1, 0});
    used_.fill(0);
    // (One that is always the latest used is never taken.)
    for (int i = count; i < Count; ++i) used_[static_cast<size_t>(i)] = std::numeric_limits<int>::max();
  }

  // The register of a line, loaded and shifted where none holds it so, but not over `kept`.
  int of(const ShiftedLine& wanted, int kept = -1) {
    for (int i = 0; i < Count; ++i)
      if (held_[static_cast<size_t>(i)] == wanted) return touched(i);
    if (wanted.shift == 0) {
      const int free = oldest(kept, -1);
      held_[static_cast<size_t>(free)] = wanted;
      code_.load512(First + free, kRdx, walk_.to(code_, (wanted.line - first_line_) * 64));
      return touched(free);
    }
    const int whole = of({wanted.line, 0}, kept), free = oldest(kept, whole);
    held_[static_cast<size_t>(free)] = wanted;
    code_.shift_lanes512(First + free, whole, wanted.shift, shifts_.mask(wanted.shift));
    return touched(free);
  }
  // How far rdx has moved, in bytes.
  int32_t moved() const { return walk_.position; }

 private:
  int touched(int i) {
    used_[static_cast<size_t>(i)] = ++now_;
    return First + i;
  }
  int oldest(int kept, int also) const {
    int found = -1;
    for (int i = 0; i < Count; ++i)
      if (First + i != kept && First + i != also &&
          (found < 0 || used_[static_cast<size_t>(i)] < used_[static_cast<size_t>(found)]))
        found = i;
    return found;
  }

  Assembler& code_;
  const Shifts& shifts_;
  int32_t first_line_;
  std::array<ShiftedLine, Count> held_;
  std::array<int, Count> used_;  // when, by count
  int now_ = 0;
  Walk walk_{kRdx, 128 * 64};
};

}  // namespace espalier::sparse
