// Runs a check that may take the device down with it in a process of its own, so that those that follow still
// find a device.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/check/check.h"

namespace espalier::check {

// Whether this process is such a one: then the check named `name` runs its body. Else a child runs it; what the
// child prints beside the line of a check that passed is shown.
inline bool isolated([[maybe_unused]] const char* name) {
#if defined(ESPALIER_SIMULATED_ARCH)
  return true;  // a simulated device is lost with the process alone
#else
  if (std::getenv("ESPALIER_CHECK_ALONE") != nullptr) return true;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return true;
  self[length] = 0;
  const std::string command = std::string("ESPALIER_CHECK_ALONE=1 timeout 60 '") + self + "' --only " + name + " 2>&1";
  std::FILE* const child = popen(command.c_str(), "r");
  if (child == nullptr) return true;
  std::string text;
  char part[1024];
  while (std::fgets(part, sizeof part, child) != nullptr) text += part;
  const int status = pclose(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
  std::printf("%s", text.c_str());
  mismatch("failed in a process of its own, status %d", status);
#endif
}

}  // namespace espalier::check
