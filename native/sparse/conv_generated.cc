#include <algorithm>

#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/conv_geometry.h"
#include "sparse/conv_stencil.h"
#include "sparse/walk.h"

// A function is made for each group of output channels and block of input lines. It holds the sums of its channels
// in registers, walks the input lines of its block that any of the channels keeps, loads each once, and issues
// multiply-adds for each kept weight. The pattern is in the instructions alone; the values stand in a stream of their
// own, in the order in which the code reads them.
//
// With AVX-512 a group is as many channels as there are registers; or, where so few weights are kept that most lines
// would be loaded for one product alone, half as many for an output line and the one a row below it. These share the
// loads of values, and those of input rows that lie under both.
namespace espalier::sparse {
namespace {

// What a function is given: the block's first line as seen from an output line, its part of the value stream, where
// to write (a line a channel), what the sums start from, and the least they may end at, if there is one (0 for
// ReLU).
using Function = void (*)(const float* x, const float* values, float* sums, const float* start, const float* floor);

// Lines of a block that are read: they stay in the first-level cache, 64 bytes each, until the neighbouring output
// lines have read them too.
constexpr int64_t kBlockLines = 384;
// The share of kept weights below which two output lines are taken together.
constexpr double kPairsBelow = 0.075;
constexpr size_t kAlignment = 64;
constexpr int kMostGroup = 28;

// The registers of a group, by instruction set and how many output lines are `kTogether`; `apart` is the distance of
// their sums in bytes. Input lines are held by `kOperands` registers in turn.
struct Group512 {
  static constexpr int kChannels = kMostGroup, kTogether = 1;
  static constexpr int kFirst = 28, kOperands = 4;
  static void load_x(Assembler& to, int operand, int32_t offset) { to.load512(kFirst + operand, kRdi, offset); }
  static void multiply(Assembler& to, int channel, int operand, int, int32_t offset) {
    to.multiply_add512(channel, kFirst + operand, kRsi, offset);
  }
  static void start(Assembler& to, int channel) { to.broadcast512(channel, kRcx, 4 * channel); }
  static void resume(Assembler& to, int channel, int32_t) { to.load512(channel, kRdx, 64 * channel); }
  static void load_floor(Assembler& to) { to.broadcast512(kFirst, kR8, 0); }
  static void raise(Assembler& to, int channel) { to.maximum512(channel, kFirst); }
  static void store(Assembler& to, int channel, int32_t) { to.store512(kRdx, 64 * channel, channel); }
  // Bytes to either side that a one-byte displacement reaches.
  static constexpr int32_t kReachX = 128 * 64, kReachValues = 128 * 4;
};
struct Pairs512 {
  static constexpr int kChannels = kMostGroup / 2, kTogether = 2;
  static constexpr int kFirst = 28, kOperands = 3, kValue = 31;
  static void load_x(Assembler& to, int operand, int32_t offset) { to.load512(kFirst + operand, kRdi, offset); }
  static void multiply(Assembler& to, int channel, int operand, int second, int32_t offset) {
    to.broadcast512(kValue, kRsi, offset);
    to.multiply_add512(2 * channel, kFirst + operand, kValue);
    to.multiply_add512(2 * channel + 1, kFirst + second, kValue);
  }
  static void start(Assembler& to, int channel) {
    to.broadcast512(2 * channel, kRcx, 4 * channel);
    to.broadcast512(2 * channel + 1, kRcx, 4 * channel);
  }
  static void resume(Assembler& to, int channel, int32_t apart) {
    to.load512(2 * channel, kRdx, 64 * channel);
    to.load512(2 * channel + 1, kRdx, 64 * channel + apart);
  }
  static void load_floor(Assembler& to) { to.broadcast512(kValue, kR8, 0); }
  static void raise(Assembler& to, int channel) {
    to.maximum512(2 * channel, kValue);
    to.maximum512(2 * channel + 1, kValue);
  }
  static void store(Assembler& to, int channel, int32_t apart) {
    to.store512(kRdx, 64 * channel, 2 * channel);
    to.store512(kRdx, 64 * channel + apart, 2 * channel + 1);
  }
  static constexpr int32_t kReachX = Group512::kReachX, kReachValues = Group512::kReachValues;
};
// Two registers hold a line; they share the broadcast that AVX2's multiply-add cannot make for itself.
struct Group256 {
  static constexpr int kChannels = 6, kTogether = 1;
  static constexpr int kFirst = 12, kOperands = 1, kValue = 14;
  static void load_x(Assembler& to, int, int32_t offset) {
    to.load256(kFirst, kRdi, offset);
    to.load256(kFirst + 1, kRdi, offset + 32);
  }
  static void multiply(Assembler& to, int channel, int, int, int32_t offset) {
    // Two registers by turns, so that one broadcast need not wait for the last one's use.
    const int value = kValue + (channel & 1);
    to.broadcast256(value, kRsi, offset);
    to.multiply_add256(2 * channel, kFirst, value);
    to.multiply_add256(2 * channel + 1, kFirst + 1, value);
  }
  static void start(Assembler& to, int channel) {
    to.broadcast256(2 * channel, kRcx, 4 * channel);
    to.broadcast256(2 * channel + 1, kRcx, 4 * channel);
  }
  static void resume(Assembler& to, int channel, int32_t) {
    to.load256(2 * channel, kRdx, 64 * channel);
    to.load256(2 * channel + 1, kRdx, 64 * channel + 32);
  }
  static void load_floor(Assembler& to) { to.broadcast256(kValue, kR8, 0); }
  static void raise(Assembler& to, int channel) {
    to.maximum256(2 * channel, kValue);
    to.maximum256(2 * channel + 1, kValue);
  }
  static void store(Assembler& to, int channel, int32_t) {
    to.store256(kRdx, 64 * channel, 2 * channel);
    to.store256(kRdx, 64 * channel + 32, 2 * channel + 1);
  }
  static constexpr int32_t kReachX = 96, kReachValues = 128;
};

// A kept weight as a group meets it.
struct Term {
  int64_t order;
  int32_t line;
  int32_t channel;  // of the group
  int32_t origin;
  bool operator<(const Term& other) const {
    return order != other.order ? order < other.order : channel < other.channel;
  }
};

// One function: some channels, and of their terms those in its block.
struct Piece {
  int64_t first_channel;
  int channels;
  int32_t first_line;
  bool starts, ends;  // the first, the last of its channels
  size_t code, values;
};

// The registers that hold input lines, as the code is written.
template <class Group>
class Held {
 public:
  Held(Assembler& code, int32_t first_line) : code_(code), first_line_(first_line) {
    std::fill_n(lines_, Group::kOperands, INT32_MIN);
  }
  // The register of a line, loaded where none holds it, but not over `kept`.
  int of(int32_t line, int kept = -1) {
    for (int i = 0; i < Group::kOperands; ++i)
      if (lines_[i] == line) return i;
    do turn_ = (turn_ + 1) % Group::kOperands;
    while (turn_ == kept);
    lines_[turn_] = line;
    Group::load_x(code_, turn_, walk_.to(code_, (line - first_line_) * 64));
    return turn_;
  }

 private:
  Assembler& code_;
  int32_t first_line_, lines_[Group::kOperands];
  int turn_ = 0;
  Walk walk_{kRdi, Group::kReachX};
};

template <class Group>
void emit(const Piece& piece, const Term* terms, size_t count, int32_t row, int32_t apart, Assembler& code) {
  for (int c = 0; c < piece.channels; ++c) piece.starts ? Group::start(code, c) : Group::resume(code, c, apart);
  Held<Group> x(code, piece.first_line);
  Walk values{kRsi, Group::kReachValues};
  for (size_t i = 0; i < count; ++i) {
    const int operand = x.of(terms[i].line);
    const int second = Group::kTogether == 2 ? x.of(terms[i].line + row, operand) : operand;
    Group::multiply(code, terms[i].channel, operand, second, values.to(code, static_cast<int32_t>(i) * 4));
  }
  if (piece.ends) {
    const size_t no_floor = code.jump_if_zero(kR8);
    Group::load_floor(code);
    for (int c = 0; c < piece.channels; ++c) Group::raise(code, c);
    code.land(no_floor);
  }
  for (int c = 0; c < piece.channels; ++c) Group::store(code, c, apart);
  code.end();
}

class Generated final : public StencilKernel {
 public:
  // False where the code would not fit or the system gives no executable memory. `read` are the lines that any
  // channel keeps, ascending.
  template <class Group>
  bool make(const Stencil& stencil, const std::vector<int32_t>& read, int64_t most_bytes) {
    // Blocks of whole input channels, alike in how many lines are read; the same for all groups.
    const int64_t lines = static_cast<int64_t>(read.size());
    const int64_t blocks = std::max<int64_t>(1, (lines + kBlockLines - 1) / kBlockLines);
    const auto block_begin = [&](int64_t b) {
      return static_cast<int32_t>(
          lines == 0 ? 0 : read[static_cast<size_t>(lines * b / blocks)] / stencil.channel * stencil.channel);
    };
    // Groups alike in size: a last one of a channel or two would waste its loads.
    const int64_t groups = (stencil.channels + Group::kChannels - 1) / Group::kChannels;
    const auto group_begin = [&](int64_t g) { return stencil.channels * g / groups; };
    // Lines in the order of their addresses; or, for two output rows at once, input rows one below the other, so that
    // what the lower output has read the upper one reads next.
    const int64_t row = std::max<int64_t>(1, stencil.row);
    const auto order = [&](int64_t line) {
      if (Group::kTogether == 1) return line;
      const int64_t channel = line / stencil.channel, place = line % stencil.channel;
      return channel * (stencil.channel + row) + place % row * ((stencil.channel + row - 1) / row) + place / row;
    };
    std::vector<std::vector<Term>> terms(static_cast<size_t>(groups));
    for (int64_t g = 0; g < groups; ++g) {
      auto& of_group = terms[static_cast<size_t>(g)];
      for (int64_t c = group_begin(g); c < group_begin(g + 1); ++c)
        for (size_t i = static_cast<size_t>(stencil.start[static_cast<size_t>(c)]);
             i < static_cast<size_t>(stencil.start[static_cast<size_t>(c) + 1]); ++i)
          of_group.push_back(
              {order(stencil.line[i]), stencil.line[i], static_cast<int32_t>(c - group_begin(g)), stencil.origin[i]});
      std::sort(of_group.begin(), of_group.end());
    }

    together_ = Group::kTogether;
    row_lines_ = stencil.row_lines;
    pitch_ = pitch_of(stencil.channels);
    const int32_t apart = static_cast<int32_t>(row_lines_ * pitch_ * static_cast<int64_t>(sizeof(float)));
    Assembler code;
    std::vector<size_t> next(static_cast<size_t>(groups));
    for (int64_t b = 0; b < blocks; ++b) {
      const int32_t end_line = b == blocks - 1 ? INT32_MAX : block_begin(b + 1);
      for (int64_t g = 0; g < groups; ++g) {
        const auto& of_group = terms[static_cast<size_t>(g)];
        size_t& at = next[static_cast<size_t>(g)];
        const size_t from = at;
        while (at < of_group.size() && of_group[at].line < end_line) ++at;
        // A group that keeps nothing here has nothing to run, but for its bias if it keeps nothing at all.
        if (from == at && !(of_group.empty() && b == 0)) continue;
        code.align(kAlignment);
        pieces_.push_back({group_begin(g), static_cast<int>(group_begin(g + 1) - group_begin(g)), block_begin(b),
                           from == 0, at == of_group.size(), code.size(), origin_.size()});
        emit<Group>(pieces_.back(), of_group.data() + from, at - from, static_cast<int32_t>(stencil.row), apart, code);
        for (size_t i = from; i < at; ++i) origin_.push_back(of_group[i].origin);
        if (static_cast<int64_t>(code.size()) > most_bytes) return false;
      }
    }
    stream_.resize(origin_.size());
    return code_.hold(code.code());
  }

  void set_values(const float* values) override {
    for (size_t i = 0; i < origin_.size(); ++i) stream_[i] = values[origin_[i]];
  }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }

  void run(const Lines& lines, const float* bias, bool relu) const override {
    constexpr float kZeros[kMostGroup] = {};
    const float floor = 0.0f;
    // A piece's code is fetched once for all lines of the task, and asked for beforehand.
    if (!pieces_.empty()) ask_for(pieces_[0]);
    for (const Piece& piece : pieces_) {
      if (&piece != &pieces_.back()) ask_for(*(&piece + 1));
      const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
      const float* const from = lines.packed + piece.first_line * kLine;
      const float* const values = stream_.data() + piece.values;
      const float* const start = bias == nullptr ? kZeros : bias + piece.first_channel;
      float* const to = lines.sums + piece.first_channel * kLine;
      for (int64_t row = 0; row < lines.count; row += together_ * row_lines_)
        for (int64_t i = row; i < row + row_lines_; ++i)
          function(from + lines.base[i] * kLine, values, to + i * pitch_, start, relu ? &floor : nullptr);
    }
  }

 private:
  // Brings a piece's code and values to the second-level cache.
  void ask_for(const Piece& piece) const {
    const bool last = &piece == &pieces_.back();
    const size_t code = last ? code_.size() : (&piece + 1)->code;
    const size_t values = last ? stream_.size() : (&piece + 1)->values;
    for (size_t at = piece.code; at < code; at += 64) __builtin_prefetch(code_.at(at), 0, 2);
    for (size_t at = piece.values; at < values; at += 16) __builtin_prefetch(stream_.data() + at, 0, 2);
  }

  int64_t together_ = 1, row_lines_ = 1, pitch_ = 0;
  std::vector<Piece> pieces_;    // by block, then by group
  std::vector<int32_t> origin_;  // of each value of the stream, its place in the weight
  std::vector<float> stream_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<StencilKernel> make_generated_stencil(const Stencil& stencil, int64_t most_bytes) {
  if (!can_generate()) return nullptr;
  std::vector<int32_t> read(stencil.line);
  std::sort(read.begin(), read.end());
  read.erase(std::unique(read.begin(), read.end()), read.end());
  // Displacements are 32 bits of bytes.
  constexpr int64_t kFar = INT32_MAX / 128;
  if ((!read.empty() && read.back() + stencil.row > kFar) ||
      stencil.row_lines * pitch_of(stencil.channels) > kFar * kLine)
    return nullptr;
  auto made = std::make_unique<Generated>();
  const double kept = static_cast<double>(stencil.line.size());
  const bool pairs = kept < kPairsBelow * static_cast<double>(read.size()) * static_cast<double>(stencil.channels);
  const bool done = is_avx2() ? made->make<Group256>(stencil, read, most_bytes)
                    : pairs   ? made->make<Pairs512>(stencil, read, most_bytes)
                              : made->make<Group512>(stencil, read, most_bytes);
  return done ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
