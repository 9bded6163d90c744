// The file around a program's bytes: what it is, which version, how long, and a checksum of all of it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier::program {

constexpr size_t kHeaderBytes = 24;

// CRC-32 of ISO-HDLC (as zlib and PNG have it): every single flipped bit changes it, and every burst of up to 32.
uint32_t checksum(uint32_t before, const uint8_t* data, size_t size);

// Writes the header of a file whose body stands behind it.
void seal(uint8_t* file, size_t size);

// The body of a file; throws where the file is not whole, not of this version or not as it was written.
struct Body {
  const uint8_t* data;
  size_t size;
};
Body unsealed(const uint8_t* file, size_t size);

}  // namespace espalier::program
