// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every file of a corpus folder, then mutations of them with
// a fixed seed, so that `./check` does the same on every machine. Usage: NAME_fuzz CORPUS_FOLDER
// RUNS, or NAME_fuzz FILE to repeat one input. The input that is running is in the file
// NAME_fuzz.last, for the one that crashes.
#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "base/unique_fd.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
constexpr std::size_t kMaxBytes = 256 * 1024;

Input read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(in), {});
}

class Mutator {
 public:
  explicit Mutator(std::vector<Input> corpus) : corpus_(std::move(corpus)) {}

  Input next() {
    Input input = corpus_[below(corpus_.size())];
    for (std::size_t n = 1 + below(8); n != 0; --n) change(input);
    if (input.size() > kMaxBytes) input.resize(kMaxBytes);
    return input;
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % std::max<std::size_t>(1, limit); }

  void change(Input& input) {
    if (input.empty()) input.push_back(0);
    const std::size_t at = below(input.size());
    switch (below(7)) {
      case 0:
        input[at] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      case 1:
        input[at] = static_cast<std::uint8_t>(random_());
        break;
      case 2:
        put_number(input, at);
        break;
      case 3:
        input.resize(at);
        break;
      case 4:
        input.insert(input.begin() + at, 1 + below(16), input[at]);
        break;
      case 5:
        splice(input, at);
        break;
      default:
        std::swap(input[at], input[below(input.size())]);
        break;
    }
  }
  // Sizes, counts and offsets break at their edges.
  void put_number(Input& input, std::size_t at) {
    constexpr std::uint64_t kEdges[] = {0,
                                        1,
                                        0x7F,
                                        0x80,
                                        0xFF,
                                        0x7FFF,
                                        0xFFFF,
                                        0x7FFFFFFF,
                                        0xFFFFFFFF,
                                        ~std::uint64_t{0},
                                        std::uint64_t{1} << 63};
    std::uint64_t value = kEdges[below(std::size(kEdges))];
    if (below(2) == 0) value = __builtin_bswap64(value);
    const std::size_t width = std::size_t{1} << below(4);
    for (std::size_t i = 0; i < width && at + i < input.size(); ++i, value >>= 8)
      input[at + i] = static_cast<std::uint8_t>(value);
  }
  void splice(Input& input, std::size_t at) {
    const Input& other = corpus_[below(corpus_.size())];
    const std::size_t from = below(other.size());
    const std::size_t length = std::min(below(64), other.size() - from);
    for (std::size_t i = 0; i < length && at + i < input.size(); ++i)
      input[at + i] = other[from + i];
  }

  std::vector<Input> corpus_;
  std::mt19937_64 random_{1};
};

void run(const Input& input, int last) {
  if (::pwrite(last, input.data(), input.size(), 0) < 0 ||
      ::ftruncate(last, static_cast<off_t>(input.size())) != 0) {
    fmt::print(stderr, "cannot keep the input that is running\n");
  }
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || !std::filesystem::exists(argv[1])) {
    fmt::print(stderr, "usage: {} CORPUS_FOLDER RUNS | FILE\n", argv[0]);
    return 2;
  }
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  if (!std::filesystem::is_directory(argv[1])) {
    const Input input = read_file(argv[1]);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    return 0;
  }
  const emu::UniqueFd last(
      ::open((name + ".last").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
  std::vector<std::filesystem::path> paths(std::filesystem::directory_iterator(argv[1]), {});
  std::sort(paths.begin(), paths.end());
  std::vector<Input> corpus;
  for (const auto& path : paths) corpus.push_back(read_file(path));
  if (corpus.empty()) corpus.emplace_back();
  for (const Input& input : corpus) run(input, last.get());
  Mutator mutator(corpus);
  const int runs = argc > 2 ? std::atoi(argv[2]) : 1000;
  for (int i = 0; i < runs; ++i) run(mutator.next(), last.get());
  fmt::print("{}: {} inputs and {} mutations\n", name, corpus.size(), runs);
  return 0;
}
