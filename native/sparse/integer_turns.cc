#include "sparse/integer_turns.h"

#include <algorithm>
#include <limits>

#include "core/parallel.h"
#include "core/scratch.h"

namespace espalier::sparse {
namespace {

// Panels that are packed at once.
constexpr int64_t kPanelsOfBlock = 4;
// Panels whose sums are moved at once to where a row's samples stand side by side.
constexpr int64_t kPanelsInColumns = 8;
// Parts that a product of few samples is cut into at most.
constexpr int64_t kParts = 8;
// Of codes, of a task; or of one block, if it has more.
constexpr int64_t kBytesTogether = 384 << 10;

}  // namespace

IntegerTurns::IntegerTurns(const char* name, Form form, const IntegerEntries& entries, CodeRange range)
    : rows_(entries.pattern.rows),
      columns_(entries.pattern.columns),
      lines_((columns_ + form.terms - 1) / form.terms),
      name_(name),
      form_(form),
      range_(range),
      start_(entries, range) {}

int64_t IntegerTurns::bytes() const {
  return code_size() + start_.bytes() +
         static_cast<int64_t>(weights_.size() * sizeof(int32_t) + functions_.size() * sizeof(Beginning) +
                              (first_group_.size() + first_row_.size()) * sizeof(int64_t));
}

void IntegerTurns::cut_rows(int64_t turns, int64_t most, int64_t unit) {
  turns_ = turns;
  for (int64_t t = 0; t < turns_; ++t) {
    const auto edge = [&](int64_t i) { return i == turns_ ? rows_ : rows_ / unit * i / turns_ * unit; };
    const int64_t first = edge(t), of_turn = edge(t + 1) - first, parts = (of_turn + most - 1) / most;
    first_group_.push_back(static_cast<int64_t>(first_row_.size()));
    for (int64_t g = 0; g < parts; ++g) first_row_.push_back(first + of_turn * g / parts);
  }
  first_group_.push_back(static_cast<int64_t>(first_row_.size()));
  first_row_.push_back(rows_);
}

void IntegerTurns::write_ends(Assembler& code) {
  ends_ = code.size();
  const int free = form_.sums;
  code.broadcast512(free, kR8, offsetof(Ends, floor));
  for (int i = 0; i < form_.sums; ++i) code.maximum_integer512(i, free);
  const size_t whole = code.jump_if_zero_byte(kR8, offsetof(Ends, as_float));
  for (int i = 0; i < form_.sums; ++i) code.convert_integers512(i, i);
  code.land(whole);
  code.leave();
}

void IntegerTurns::multiply(const IntegerCall& call) const {
  const std::vector<int32_t> start = start_.of(call);
  const int64_t blocks = (panels_of(call.samples.count) + kPanelsOfBlock - 1) / kPanelsOfBlock;
  int64_t tasks = (blocks + blocks_together() - 1) / blocks_together();
  // An even number: two threads then have as much to do. As many at least as threads need, unless turns are. (One alone
  // fetches the code once for all samples of a task. Two that share out its turns write lines of Y beside each other's
  // and read each other's codes: 1024×1024 at 90%, 256 samples, took longer so than on one thread, .46 ms for .29.)
  if (const bool turns = turns_ >= kParts / 2; !(turns && tasks == 1 && threads() == 1))
    tasks = std::min(blocks, std::max(tasks + (tasks & 1), turns ? 1 : kParts / 2));
  if (tasks > 1) {
    parallel_for(tasks, [&](int64_t task) {
      const int64_t first = blocks * task / tasks, last = blocks * (task + 1) / tasks;
      uint8_t* const x = scratch<uint8_t>(Scratch::kPackB, (last - first) * bytes_of_block());
      for (int64_t b = first; b < last; ++b) pack(call, b, x + (b - first) * bytes_of_block());
      run(call, start.data(), first * kPanelsOfBlock, last * kPanelsOfBlock, x, 0, turns_);
    });
    return;
  }
  // Few samples: turns of rows are shared out instead.
  uint8_t* const x = scratch<uint8_t>(Scratch::kPackB, blocks * bytes_of_block());
  parallel_for(blocks, [&](int64_t b) { pack(call, b, x + b * bytes_of_block()); });
  const int64_t parts = std::min(turns_, kParts);
  parallel_for(parts, [&](int64_t part) {
    run(call, start.data(), 0, blocks * kPanelsOfBlock, x, turns_ * part / parts, turns_ * (part + 1) / parts);
  });
}

int64_t IntegerTurns::bytes_of_block() const { return lines_ * kLine * kPanelsOfBlock / form_.panels; }

// Whose codes stay in the second-level cache for all turns; as many as make up for fetching code.
int64_t IntegerTurns::blocks_together() const {
  return std::clamp<int64_t>(kBytesTogether / std::max<int64_t>(bytes_of_block(), 1), 1, 4);
}

void IntegerTurns::pack(const IntegerCall& call, int64_t block, uint8_t* x) const {
  pack_codes(call, columns_, range_, form_.order, block * kPanelsOfBlock * kPanel, x);
}

// Panels [first, last), of which x holds the codes, by turns [first_turn, last_turn). What functions take at once is
// a multiple of form_.panels, and `first` is: sums of panels beyond the last are computed and left.
void IntegerTurns::run(const IntegerCall& call, const int32_t* start, int64_t first, int64_t last, const uint8_t* x,
                       int64_t first_turn, int64_t last_turn) const {
  const bool in_y = call.samples.layout == ESPALIER_SPARSE_LAYOUT_PANELS, as_float = call.codes == Codes::float32;
  const int64_t count = std::min(last, panels_of(call.samples.count)) - first, each = form_.panels;
  const Ends ends{call.relu ? 0 : std::numeric_limits<int32_t>::min(), as_float};
  // Sums go where they belong, or near, from where some panels' are moved at once.
  const int64_t together = call.samples.layout == ESPALIER_SPARSE_LAYOUT_COLUMNS ? kPanelsInColumns : each;
  const int64_t held = in_y ? each : blocks_ == 1 ? together : (count + each - 1) / each * each;
  for (int64_t t = first_turn; t < last_turn; ++t) {
    const int64_t from = row_of_turn(t), rows = row_of_turn(t + 1) - from;
    int32_t* const near =
        in_y && count % each == 0 ? nullptr : scratch<int32_t>(Scratch::kColumns, held * rows * kPanel);
    // All blocks of columns of a turn, whose sums stay near meanwhile.
    for (int64_t b = 0; b < blocks_; ++b) {
      const auto [code, weights] = functions_[static_cast<size_t>(t * blocks_ + b)];
      const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(code)));
      for (int64_t p = 0; p < count; p += together) {
        const int64_t of_step = std::min(together, count - p);
        const bool there = in_y && of_step == each;
        const int64_t apart = (there ? rows_ : rows) * kPanel;
        int32_t* const sums = there ? static_cast<int32_t*>(call.y) + ((first + p) * rows_ + from) * kPanel
                                    : near + (held > together ? p : 0) * apart;
        for (int64_t i = 0; i < of_step; i += each)
          function(x + ((p + i) / each * lines_ + first_line(b)) * kLine, weights_.data() + weights, sums + i * apart,
                   start + from, call.relu || as_float ? &ends : nullptr,
                   apart * static_cast<int64_t>(sizeof(int32_t)));
        if (b == blocks_ - 1 && !there)
          unpack_panels_of_sums(call, rows_, {from, rows}, sums, apart, first + p, of_step);
      }
    }
  }
}

}  // namespace espalier::sparse
