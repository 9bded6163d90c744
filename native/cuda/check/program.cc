// The program: runs every check and, where asked, every bench. They run in a worker process; where a kernel
// loses the device or never ends, the worker is given up, the check at fault counts as failed, and a new worker
// goes on with the next one.
#include "cuda/check/program.h"

#include <cuda_runtime.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/core/device.h"

namespace espalier::check {
namespace {

// Seconds that a check may take.
#if defined(ESPALIER_SIMULATED_ARCH)
constexpr int kPatience = 600;
#else
constexpr int kPatience = 60;
#endif
// A worker's exit status where it lost the device, and where there is none.
constexpr int kLost = 3, kNone = 4;
// Lines that begin with this are for the program, the rest for the reader.
constexpr char kMark = '\1';

struct Options {
  bool checks = true, benches = false;
  std::vector<std::string> only = {""}, except;  // texts that names hold, or must not
  std::string json;
  long jobs = 1, job = 0;  // workers side by side, each with every jobs-th entry; which of them this is
  long worker = -1;        // the first entry to run, in a worker
  long until = 0;          // when nothing more is begun, as time() counts; 0: never
};

std::vector<std::string> list_of(const std::string& words) {
  std::vector<std::string> list;
  for (size_t begin = 0; begin <= words.size();) {
    const size_t end = std::min(words.find(',', begin), words.size());
    list.push_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
  return list;
}

bool holds_any(const std::string& name, const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return name.find(text) != std::string::npos; });
}

// What is to run, checks before benches.
std::vector<Entry> chosen(const Options& options) {
  std::vector<Entry> list;
  long number = 0;
  for (const bool bench : {false, true})
    for (const Entry& entry : entries())
      if (entry.bench == bench && (bench ? options.benches : options.checks) && holds_any(entry.name, options.only) &&
          !holds_any(entry.name, options.except) && number++ % options.jobs == options.job)
        list.push_back(entry);
  return list;
}

// The worker

int g_capability = 0;
bool g_unlike = false;  // whether a bench's result was not its rival's

bool device_lost() {
  cudaGetLastError();
  void* probe = nullptr;
  // The allocator may have spare memory; the driver itself is asked.
  if (cudaDeviceSynchronize() != cudaSuccess || cudaMalloc(&probe, 256) != cudaSuccess) return true;
  cudaFree(probe);
  return false;
}

int work(const Options& options) {
  int64_t devices = 0;
  espalier_cuda_device_count(&devices);
  if (devices == 0) return kNone;
  espalier_cuda_properties properties;
  ok(espalier_cuda_describe(0, &properties), "describe");
  g_capability = static_cast<int>(properties.capability);
  if (options.worker == 0 && options.job == 0)
    std::printf("%s, compute capability %d.%d, %d multiprocessors, %.1f GB\n", properties.name, g_capability / 10,
                g_capability % 10, static_cast<int>(properties.multiprocessors),
                static_cast<double>(properties.memory) * 1e-9);
  const std::vector<Entry> list = chosen(options);
  for (size_t i = static_cast<size_t>(options.worker); i < list.size(); ++i) {
    const Entry& entry = list[i];
    if (options.until > 0 && std::time(nullptr) >= options.until) {
      std::printf("the time is up: %zu were not begun, from %s on\n", list.size() - i, entry.name);
      std::fflush(stdout);
      return 0;
    }
    std::printf("%cbegin %zu\n", kMark, i);
    std::fflush(stdout);
    begin_check();
    const auto began = std::chrono::steady_clock::now();
    std::string fault;
    try {
      entry.run();
    } catch (const Mismatch& found) {
      fault = found.message;
    } catch (const std::exception& found) {
      fault = found.what();
    }
    if (std::exchange(g_unlike, false) && fault.empty()) fault = "a result is not the rival's, see above";
    // A fault of the device that nobody waited for is this check's too.
    if (espalier_cuda_synchronize() != ESPALIER_OK && fault.empty()) fault = espalier_last_error();
    const bool lost = !fault.empty() && device_lost();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const auto [cases, left_out] = afforded();
    const char* verdict = !fault.empty() ? "FAIL" : cases == 0 && left_out > 0 ? "skip" : "ok  ";
    std::string more = fault.empty() ? "" : ": " + fault;
    if (left_out > 0) more += " (" + std::to_string(left_out) + " cases are beyond this device)";
    std::printf("%s %s%s %.2f s%s\n%cend %s\n", verdict, entry.bench ? "bench " : "", entry.name, seconds, more.c_str(),
                kMark, verdict);
    std::fflush(stdout);
    if (lost) std::_Exit(kLost);
  }
  return 0;
}

// The program

struct Outcome {
  int passed = 0, failed = 0;
  bool no_device = false;
  std::vector<std::string> rows;

  void add(const Outcome& other) {
    passed += other.passed;
    failed += other.failed;
    no_device |= other.no_device;
    rows.insert(rows.end(), other.rows.begin(), other.rows.end());
  }
};

// Runs a worker from entry `first` on and returns the entry that the next one starts from.
size_t supervise(const Options& options, const std::vector<std::string>& words, size_t first, size_t count,
                 Outcome& outcome) {
  int ends[2];
  // Closed where another job's worker begins: else this one's end would not be seen.
  if (pipe2(ends, O_CLOEXEC) != 0) std::perror("pipe"), std::exit(1);
  // Made before the fork: other jobs may hold the allocator's locks.
  std::vector<std::string> all = words;
  all.insert(all.end(), {"--worker", std::to_string(first), "--until", std::to_string(options.until), "--job",
                         std::to_string(options.job)});
  std::vector<char*> arguments;
  for (std::string& word : all) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execv("/proc/self/exe", arguments.data());
    std::_Exit(127);
  }
  ::close(ends[1]);
  std::FILE* const lines = fdopen(ends[0], "r");
  setvbuf(lines, nullptr, _IONBF, 0);  // poll must see what is left
  size_t next = first;
  bool running = false, patient = true;
  std::string line;
  for (;;) {
    pollfd ready{ends[0], POLLIN, 0};
    if (poll(&ready, 1, kPatience * 1000) == 0) {
      patient = false;
      break;
    }
    const int letter = std::fgetc(lines);
    if (letter == EOF) break;
    line += static_cast<char>(letter);
    if (letter != '\n') continue;
    if (line[0] != kMark) {
      std::fputs(line.c_str(), stdout);
    } else if (line.compare(1, 6, "begin ") == 0) {
      running = true;
      next = static_cast<size_t>(std::atol(line.c_str() + 7));
    } else if (line.compare(1, 4, "end ") == 0) {
      running = false;
      outcome.passed += line.compare(5, 2, "ok") == 0;
      outcome.failed += line.compare(5, 4, "FAIL") == 0;
      ++next;
    } else if (line.compare(1, 4, "row ") == 0) {
      outcome.rows.push_back(line.substr(5, line.size() - 6));
    }
    line.clear();
    std::fflush(stdout);
  }
  if (!patient) kill(child, SIGKILL);
  std::fclose(lines);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.no_device = WIFEXITED(status) && WEXITSTATUS(status) == kNone;
  const bool crashed =
      !outcome.no_device && !(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == kLost));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return count;
  if (running || (crashed && next < count)) {
    std::printf("FAIL %s: %s\n", chosen(options)[next].name, patient ? "the process ended" : "it does not end");
    ++outcome.failed;
    ++next;
  }
  return next;
}

// All that one job has to do.
Outcome run_job(const Options& options, const std::vector<std::string>& words) {
  Outcome outcome;
  const size_t count = chosen(options).size();
  for (size_t next = 0; next < count && !outcome.no_device;) next = supervise(options, words, next, count, outcome);
  return outcome;
}

void write_rows(const std::string& path, const std::vector<std::string>& rows) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return std::perror(path.c_str());
  for (size_t i = 0; i < rows.size(); ++i) std::fprintf(file, "%s%s", i == 0 ? "[\n" : ",\n", rows[i].c_str());
  std::fprintf(file, "%s]\n", rows.empty() ? "[" : "\n");
  std::fclose(file);
}

}  // namespace

void report_line(const Row& row) {
  if (!row.verified && row.theirs > 0) g_unlike = true;
  std::printf(
      "%crow {\"task\":\"%s\",\"case\":\"%s\",\"threads\":1,\"isa\":\"sm_%d\",\"oursMs\":%.6f,\"rival\":\"%s\","
      "\"rivalMs\":%.6f,\"ratio\":%.4f,\"limitFraction\":%.4f,\"verified\":%s}\n",
      kMark, row.task.c_str(), row.name.c_str(), g_capability, row.ours, row.rival.c_str(), row.theirs,
      row.ours > 0 ? row.theirs / row.ours : 0, row.ours > 0 ? row.limit / row.ours : 0,
      row.verified ? "true" : "false");
}

}  // namespace espalier::check

// Usage: espalier_cuda_check [--bench] [--no-checks] [--only text,…] [--except text,…]
//                            [--seconds n] [--jobs n] [--json file]
//   without --bench only the checks run; --only keeps those whose names hold one of the texts, --except drops those;
//   after n seconds nothing more is begun; jobs run side by side
int main(int count, char** given) {
  using namespace espalier::check;
  const std::vector<std::string> words(given, given + count);
  Options options;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--bench") options.benches = true;
    else if (words[i] == "--no-checks") options.checks = false;
    else if (words[i] == "--only" && i + 1 < words.size()) options.only = list_of(words[++i]);
    else if (words[i] == "--except" && i + 1 < words.size()) options.except = list_of(words[++i]);
    else if (words[i] == "--json" && i + 1 < words.size()) options.json = words[++i];
    else if (words[i] == "--seconds" && i + 1 < words.size())
      options.until = std::time(nullptr) + std::atol(words[++i].c_str());
    else if (words[i] == "--jobs" && i + 1 < words.size()) options.jobs = std::max(1L, std::atol(words[++i].c_str()));
    else if (words[i] == "--job" && i + 1 < words.size()) options.job = std::atol(words[++i].c_str());
    else if (words[i] == "--worker" && i + 1 < words.size()) options.worker = std::atol(words[++i].c_str());
    else if (words[i] == "--until" && i + 1 < words.size()) options.until = std::atol(words[++i].c_str());
    else {
      std::fprintf(stderr,
                   "usage: espalier_cuda_check [--bench] [--no-checks] [--only text,…] [--except text,…] "
                   "[--seconds n] [--jobs n] [--json file]\n");
      return 2;
    }
  }
  if (options.worker >= 0) return work(options);
  std::vector<Outcome> outcomes(static_cast<size_t>(options.jobs));
  std::vector<std::thread> jobs;
  for (long job = 0; job < options.jobs; ++job)
    jobs.emplace_back([&outcomes, &words, job, own = options]() mutable {
      own.job = job;
      outcomes[static_cast<size_t>(job)] = run_job(own, words);
    });
  for (std::thread& job : jobs) job.join();
  Outcome outcome;
  for (const Outcome& one : outcomes) outcome.add(one);
  if (outcome.no_device) std::printf("there is no CUDA device here: nothing was checked\n");
  else if (!options.json.empty()) write_rows(options.json, outcome.rows);
  std::printf("%d passed, %d failed\n", outcome.passed, outcome.failed);
  return outcome.failed == 0 ? 0 : 1;
}
