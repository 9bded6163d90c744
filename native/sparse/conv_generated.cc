#include <algorithm>

#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/conv_geometry.h"
#include "sparse/conv_stencil.h"

// As in generated.cc, a function is made for each group of output channels and block of input lines: it holds the
// sums of one output line of its channels in registers, walks the lines of its block that any of them keeps, loads
// each once, and issues a multiply-add for each kept weight, whose values stand in a stream of their own.
namespace espalier::sparse {
namespace {

// What a function is given: the block's first line as seen from an output line, its part of the value stream, where
// to write (a line a channel), what the sums start from, and the least they may end at, if there is one (0 for
// ReLU).
using Function = void (*)(const float* x, const float* values, float* sums, const float* start, const float* floor);

// Lines of a block that are read: they stay in the first-level cache, 64 bytes each, until the neighbouring output
// line has read them too.
constexpr int64_t kBlockLines = 320;
constexpr size_t kAlignment = 64;
constexpr int kMostGroup = 28;

// The registers of a group's sums, by instruction set: channels × (16 outputs).
struct Group512 {
  static constexpr int kChannels = kMostGroup;
  static constexpr int kOperands = 28, kOperandCount = 4;
  static void load_x(Assembler& to, int turn, int32_t offset) { to.load512(kOperands + turn, kRdi, offset); }
  static void multiply(Assembler& to, int channel, int turn, int32_t offset) {
    to.multiply_add512(channel, kOperands + turn, kRsi, offset);
  }
  static void start(Assembler& to, int channel) { to.broadcast512(channel, kRcx, 4 * channel); }
  static void resume(Assembler& to, int channel) { to.load512(channel, kRdx, 64 * channel); }
  static void load_floor(Assembler& to) { to.broadcast512(kOperands, kR8, 0); }
  static void raise(Assembler& to, int channel) { to.maximum512(channel, kOperands); }
  static void store(Assembler& to, int channel) { to.store512(kRdx, 64 * channel, channel); }
  // Bytes to either side that a one-byte displacement reaches.
  static constexpr int32_t kReachX = 128 * 64, kReachValues = 128 * 4;
};
// Two registers a channel, which share the broadcast that AVX2's multiply-add cannot make for itself.
struct Group256 {
  static constexpr int kChannels = 6;
  static constexpr int kOperands = 12, kOperandCount = 1, kValue = 14;
  static void load_x(Assembler& to, int, int32_t offset) {
    to.load256(kOperands, kRdi, offset);
    to.load256(kOperands + 1, kRdi, offset + 32);
  }
  static void multiply(Assembler& to, int channel, int, int32_t offset) {
    // Two registers by turns, so that one broadcast need not wait for the last one's use.
    const int value = kValue + (channel & 1);
    to.broadcast256(value, kRsi, offset);
    to.multiply_add256(2 * channel, kOperands, value);
    to.multiply_add256(2 * channel + 1, kOperands + 1, value);
  }
  static void start(Assembler& to, int channel) {
    to.broadcast256(2 * channel, kRcx, 4 * channel);
    to.broadcast256(2 * channel + 1, kRcx, 4 * channel);
  }
  static void resume(Assembler& to, int channel) {
    to.load256(2 * channel, kRdx, 64 * channel);
    to.load256(2 * channel + 1, kRdx, 64 * channel + 32);
  }
  static void load_floor(Assembler& to) { to.broadcast256(kValue, kR8, 0); }
  static void raise(Assembler& to, int channel) {
    to.maximum256(2 * channel, kValue);
    to.maximum256(2 * channel + 1, kValue);
  }
  static void store(Assembler& to, int channel) {
    to.store256(kRdx, 64 * channel, 2 * channel);
    to.store256(kRdx, 64 * channel + 32, 2 * channel + 1);
  }
  static constexpr int32_t kReachX = 96, kReachValues = 128;
};

// Where a pointer register stands in its array, as the code is written.
struct Walk {
  Gpr base;
  int32_t reach, position = 0;
  // A displacement from the register to `target`; moves the register where one byte would not hold it.
  int32_t to(Assembler& code, int32_t target) {
    if (target - position >= reach || target - position < -reach) {
      code.add(base, target + reach - position);
      position = target + reach;
    }
    return target - position;
  }
};

// A kept weight as a group meets it: ordered by line, then by channel.
struct Term {
  int32_t line;
  int32_t channel;  // of the group
  int32_t origin;
  bool operator<(const Term& other) const { return line != other.line ? line < other.line : channel < other.channel; }
};

// One function: some channels, and of their terms those in its block.
struct Piece {
  int64_t first_channel;
  int channels;
  int32_t first_line;
  bool starts, ends;  // the first, the last of its channels
  size_t code, values;
};

template <class Group>
void emit(const Piece& piece, const Term* terms, size_t count, Assembler& code) {
  for (int c = 0; c < piece.channels; ++c) piece.starts ? Group::start(code, c) : Group::resume(code, c);
  Walk x{kRdi, Group::kReachX}, values{kRsi, Group::kReachValues};
  int turn = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i == 0 || terms[i].line != terms[i - 1].line) {
      turn = (turn + 1) % Group::kOperandCount;
      Group::load_x(code, turn, x.to(code, (terms[i].line - piece.first_line) * 64));
    }
    Group::multiply(code, terms[i].channel, turn, values.to(code, static_cast<int32_t>(i) * 4));
  }
  if (piece.ends) {
    const size_t no_floor = code.jump_if_zero(kR8);
    Group::load_floor(code);
    for (int c = 0; c < piece.channels; ++c) Group::raise(code, c);
    code.land(no_floor);
  }
  for (int c = 0; c < piece.channels; ++c) Group::store(code, c);
  code.end();
}

class Generated final : public StencilKernel {
 public:
  // False where the code would not fit or the system gives no executable memory.
  template <class Group>
  bool make(const Stencil& stencil, int64_t most_bytes) {
    // Blocks of lines that are alike in what they hold, the same for all groups: those that are read, in order.
    std::vector<int32_t> read(stencil.line);
    std::sort(read.begin(), read.end());
    read.erase(std::unique(read.begin(), read.end()), read.end());
    const int64_t lines = static_cast<int64_t>(read.size());
    const int64_t blocks = std::max<int64_t>(1, (lines + kBlockLines - 1) / kBlockLines);
    // Groups alike in size: a last one of a channel or two would waste its loads.
    const int64_t groups = (stencil.channels + Group::kChannels - 1) / Group::kChannels;

    std::vector<std::vector<Term>> terms(static_cast<size_t>(groups));
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = stencil.channels * g / groups, last = stencil.channels * (g + 1) / groups;
      auto& of_group = terms[static_cast<size_t>(g)];
      for (int64_t c = first; c < last; ++c)
        for (int64_t i = stencil.start[static_cast<size_t>(c)]; i < stencil.start[static_cast<size_t>(c) + 1]; ++i)
          of_group.push_back({stencil.line[static_cast<size_t>(i)], static_cast<int32_t>(c - first),
                              stencil.origin[static_cast<size_t>(i)]});
      std::sort(of_group.begin(), of_group.end());
    }

    pitch_ = pitch_of(stencil.channels);
    Assembler code;
    std::vector<size_t> next(static_cast<size_t>(groups));
    for (int64_t b = 0; b < blocks; ++b) {
      const int32_t first_line = lines == 0 ? 0 : read[static_cast<size_t>(lines * b / blocks)];
      const int32_t end_line = b == blocks - 1 ? INT32_MAX : read[static_cast<size_t>(lines * (b + 1) / blocks)];
      for (int64_t g = 0; g < groups; ++g) {
        const auto& of_group = terms[static_cast<size_t>(g)];
        size_t& at = next[static_cast<size_t>(g)];
        const size_t from = at;
        while (at < of_group.size() && of_group[at].line < end_line) ++at;
        // A group that keeps nothing here has nothing to run, but for its bias if it keeps nothing at all.
        if (from == at && !(of_group.empty() && b == 0)) continue;
        const int64_t first = stencil.channels * g / groups, last = stencil.channels * (g + 1) / groups;
        code.align(kAlignment);
        pieces_.push_back({first, static_cast<int>(last - first), first_line, from == 0, at == of_group.size(),
                           code.size(), origin_.size()});
        emit<Group>(pieces_.back(), of_group.data() + from, at - from, code);
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
      for (int64_t i = 0; i < lines.count; ++i)
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

  int64_t pitch_ = 0;
  std::vector<Piece> pieces_;    // by block, then by group
  std::vector<int32_t> origin_;  // of each value of the stream, its place in the weight
  std::vector<float> stream_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<StencilKernel> make_generated_stencil(const Stencil& stencil, int64_t most_bytes) {
#if ESPALIER_X86
  // Displacements are 32 bits of bytes.
  const auto far = [](int32_t line) { return line > INT32_MAX / 256; };
  if (!can_generate() || std::any_of(stencil.line.begin(), stencil.line.end(), far)) return nullptr;
  auto made = std::make_unique<Generated>();
  const bool done =
      isa() == Isa::avx512 ? made->make<Group512>(stencil, most_bytes) : made->make<Group256>(stencil, most_bytes);
  return done ? std::move(made) : nullptr;
#else
  // No emitter for this processor.
  (void)stencil, (void)most_bytes;
  return nullptr;
#endif
}

}  // namespace espalier::sparse
