// The few x86-64 instructions that generated products are made of. The one place outside simd/ that knows
// how a processor's instructions are written; see Intel's manual, volume 2, for the encodings.
#pragma once

#include <cstdint>
#include <vector>

namespace espalier::sparse {

// General registers by their numbers; the first arguments of a System V call are rdi, rsi, rdx, rcx, r8.
enum Gpr : int { kRcx = 1, kRdx = 2, kRsi = 6, kRdi = 7, kR8 = 8 };

class Assembler {
 public:
  const std::vector<uint8_t>& code() const {
    code_.resize(size_);
    return code_;
  }
  size_t size() const { return size_; }
  void align(size_t to) {
    while (size_ % to != 0) byte(0xCC);
  }

  void add(Gpr to, int32_t value) {
    byte(to >= 8 ? 0x49 : 0x48);
    byte(0x81);
    byte(0xC0 | (to & 7));
    word(value);
  }
  // Jumps forward where the register is 0; `land` says where to.
  size_t jump_if_zero(Gpr reg) {
    byte(0x48 | (reg >= 8 ? 5 : 0));
    byte(0x85);
    byte(0xC0 | (reg & 7) << 3 | (reg & 7));
    byte(0x0F);
    byte(0x84);
    word(0);
    return size_;
  }
  void land(size_t jump) {
    const uint32_t distance = static_cast<uint32_t>(size_ - jump);
    for (size_t i = 0; i < 4; ++i) code_[jump - 4 + i] = static_cast<uint8_t>(distance >> (8 * i));
  }
  void end() {
    for (const int b : {0xC5, 0xF8, 0x77, 0xC3}) byte(b);  // vzeroupper, ret
  }

  // 512-bit, on registers 0 to 31. Displacements of a byte count in units of the operand's size.
  void load512(int to, Gpr base, int32_t offset) { evex(1, 0, 0x10, to, 0, base, offset, 64, false); }
  void store512(Gpr base, int32_t offset, int from) { evex(1, 0, 0x11, from, 0, base, offset, 64, false); }
  void broadcast512(int to, Gpr base, int32_t offset) { evex(2, 1, 0x18, to, 0, base, offset, 4, false); }
  // to += with · the float at base + offset
  void multiply_add512(int to, int with, Gpr base, int32_t offset) {
    evex(2, 1, 0xB8, to, with, base, offset, 4, true);
  }
  // to += with · by
  void multiply_add512(int to, int with, int by) { evex_registers(2, 1, 0xB8, to, with, by); }
  // to = max(with, to), which keeps a NaN of `to`
  void maximum512(int to, int with) { evex_registers(1, 0, 0x5F, to, with, to); }
  // Words. to = 32 bytes at base + offset, without sign; the word there in every lane; to ± with.
  void widen_bytes512(int to, Gpr base, int32_t offset) { evex(2, 1, 0x30, to, 0, base, offset, 32, false); }
  void broadcast_word512(int to, Gpr base, int32_t offset) { evex(2, 1, 0x79, to, 0, base, offset, 2, false); }
  void add_words512(int to, int with) { evex_registers(1, 1, 0xFD, to, to, with); }
  void subtract_words512(int to, int with) { evex_registers(1, 1, 0xF9, to, to, with); }

  // 256-bit, on registers 0 to 15.
  void load256(int to, Gpr base, int32_t offset) { vex(1, 0, 0x10, to, 0, base, offset); }
  void store256(Gpr base, int32_t offset, int from) { vex(1, 0, 0x11, from, 0, base, offset); }
  void broadcast256(int to, Gpr base, int32_t offset) { vex(2, 1, 0x18, to, 0, base, offset); }
  // to += with · by
  void multiply_add256(int to, int with, int by) { vex_registers(2, 1, 0xB8, to, with, by); }
  void maximum256(int to, int with) { vex_registers(1, 0, 0x5F, to, with, to); }
  void broadcast_word256(int to, Gpr base, int32_t offset) { vex(2, 1, 0x79, to, 0, base, offset); }
  void add_words256(int to, int with) { vex_registers(1, 1, 0xFD, to, to, with); }
  void subtract_words256(int to, int with) { vex_registers(1, 1, 0xF9, to, to, with); }

 private:
  // (Millions of bytes: push_back would look at the capacity, and move the end, for each.)
  void byte(int value) {
    if (size_ == code_.size()) code_.resize(2 * size_ + 4096);
    code_[size_++] = static_cast<uint8_t>(value);
  }
  void word(int32_t value) {
    for (int shift = 0; shift < 32; shift += 8) byte((static_cast<uint32_t>(value) >> shift) & 0xFF);
  }
  // Bit `which` of a register's number, upside down, as the prefixes have it.
  static int inverted(int number, int which) { return (~number >> which) & 1; }

  void memory(int reg, Gpr base, int32_t offset, int unit) {
    const bool small = offset % unit == 0 && offset / unit >= -128 && offset / unit <= 127;
    byte((small ? 0x40 : 0x80) | (reg & 7) << 3 | (base & 7));
    if (small) byte((offset / unit) & 0xFF);
    else word(offset);
  }
  void evex_prefix(int map, int pp, int reg, int vvvv, int r, int x, int b, bool broadcast) {
    byte(0x62);
    byte(r << 7 | x << 6 | b << 5 | inverted(reg, 4) << 4 | map);
    byte((~vvvv & 15) << 3 | 4 | pp);
    byte(0x40 | (broadcast ? 0x10 : 0) | inverted(vvvv, 4) << 3);
  }
  void evex(int map, int pp, int opcode, int reg, int vvvv, Gpr base, int32_t offset, int unit, bool broadcast) {
    evex_prefix(map, pp, reg, vvvv, inverted(reg, 3), 1, inverted(base, 3), broadcast);
    byte(opcode);
    memory(reg, base, offset, unit);
  }
  void evex_registers(int map, int pp, int opcode, int reg, int vvvv, int rm) {
    evex_prefix(map, pp, reg, vvvv, inverted(reg, 3), inverted(rm, 4), inverted(rm, 3), false);
    byte(opcode);
    byte(0xC0 | (reg & 7) << 3 | (rm & 7));
  }
  void vex_prefix(int map, int pp, int reg, int vvvv, int rm) {
    byte(0xC4);
    byte(inverted(reg, 3) << 7 | 0x40 | inverted(rm, 3) << 5 | map);
    byte((~vvvv & 15) << 3 | 4 | pp);
  }
  void vex(int map, int pp, int opcode, int reg, int vvvv, Gpr base, int32_t offset) {
    vex_prefix(map, pp, reg, vvvv, base);
    byte(opcode);
    memory(reg, base, offset, 1);
  }
  void vex_registers(int map, int pp, int opcode, int reg, int vvvv, int rm) {
    vex_prefix(map, pp, reg, vvvv, rm);
    byte(opcode);
    byte(0xC0 | (reg & 7) << 3 | (rm & 7));
  }

  mutable std::vector<uint8_t> code_;  // and room for more
  size_t size_ = 0;
};

}  // namespace espalier::sparse
