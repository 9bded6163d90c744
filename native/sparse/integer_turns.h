// Products of whole numbers by generated code in turns: some groups of rows are one function, a turn, which goes
// through the codes of a few samples, and through all others of a task before the next turn begins. What a group's code
// is, is the kernels' own (integer_generated.cc, integer_matched.cc).
#pragma once

#include <string>
#include <vector>

#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/integer_codes.h"

namespace espalier::sparse {

class IntegerTurns : public IntegerProduct {
 public:
  std::string name() const override { return name_; }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }
  int64_t bytes() const override;
  void multiply(const IntegerCall& call) const override;

 protected:
  static constexpr int64_t kLine = 64;

  // What is done to sums at last, if anything.
  struct Ends {
    int32_t floor;
    int8_t as_float;
  };
  // What a function is given: codes from its first line on, its part of the weights, its first row's sums (of a panel a
  // line a row, panels so many bytes apart), what these start from, and how they end (or null).
  using Function = void (*)(const uint8_t* codes, const int32_t* weights, int32_t* sums, const int32_t* start,
                            const Ends* ends, int64_t apart);

  // A kernel's codes: their order, how many columns share a line, and panels of samples that a function takes at once.
  // Sums stand in registers [0, sums), of which a group may use fewer, and there is another beyond them.
  struct Form {
    CodeOrder order;
    int64_t terms, panels;
    int sums;
  };
  IntegerTurns(const char* name, Form form, const IntegerEntries& entries, CodeRange range);

  // Columns are cut into so many blocks, of as many lines of codes.
  int64_t first_line(int64_t block) const { return lines_ * block / blocks_; }
  // Rows of a turn are cut into groups of at most so many; whole multiples of `unit` rows, where there are as many.
  void cut_rows(int64_t turns, int64_t most, int64_t unit);
  int64_t groups() const { return first_group_.back(); }
  int64_t first_row(int64_t group) const { return first_row_[static_cast<size_t>(group)]; }
  int64_t row_of_turn(int64_t turn) const { return first_row(first_group_[static_cast<size_t>(turn)]); }
  // Writes all functions: `begin` and emit(turn, group, block) for each one's groups. False where the system gives no
  // executable memory.
  template <class Begin, class Emit>
  bool write(Assembler& code, Begin begin, Emit emit) {
    for (int64_t t = 0; t < turns_; ++t)
      for (int64_t b = 0; b < blocks_; ++b) {
        code.align(kAlignment);
        if (b == blocks_ - 1) write_ends(code);
        code.align(kAlignment);
        functions_.push_back({code.size(), weights_.size()});
        begin(t, b);
        for (int64_t g = first_group_[static_cast<size_t>(t)]; g < first_group_[static_cast<size_t>(t) + 1]; ++g)
          emit(t, g, b);
        code.end();
      }
    return code_.hold(code.code());
  }
  // The end of a group whose sums stand in registers, if `block` is the last one. (One for all groups of a turn: most
  // products have none, and go around it.)
  void finish(int64_t block, Assembler& code) const {
    if (block < blocks_ - 1) return;
    const size_t nothing = code.jump_if_zero(kR8);
    code.call(ends_);
    code.land(nothing);
  }

  int64_t rows_, columns_, lines_;
  int64_t blocks_ = 1, turns_ = 0;
  std::vector<int32_t> weights_;

 private:
  static constexpr size_t kAlignment = 64;
  // Where a function's code and its weights begin.
  struct Beginning {
    size_t code, weights;
  };

  void write_ends(Assembler& code);
  int64_t bytes_of_block() const;
  int64_t blocks_together() const;
  void pack(const IntegerCall& call, int64_t block, uint8_t* x) const;
  void run(const IntegerCall& call, const int32_t* start, int64_t first, int64_t last, const uint8_t* x,
           int64_t first_turn, int64_t last_turn) const;

  const char* name_;
  Form form_;
  CodeRange range_;
  std::vector<int64_t> first_group_, first_row_;  // of each turn, of each group; and where the last ends
  std::vector<Beginning> functions_;              // by turn, then by block of columns
  size_t ends_ = 0;                               // where the ends of the function that is written begin
  BiasedStart start_;
  CodeMemory code_;
};

}  // namespace espalier::sparse
