// SPDX-License-Identifier: Apache-2.0
#include "block/support.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace emu::test {

TempDir::TempDir() {
  // Memory if possible: these tests flush thousands of times.
  std::error_code missing;
  std::string name = std::filesystem::is_directory("/dev/shm", missing) ? "/dev/shm" : "/tmp";
  name += "/emu-test-XXXXXX";
  EMU_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

int run_command(const std::string& command, std::string* output) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return -1;
  std::string text;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  if (output != nullptr) *output = text;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool has_qemu_img() {
  static const bool found =
      run_command("qemu-img --version") == 0 && run_command("qemu-io --version") == 0;
  return found;
}

void must_run(const std::string& command) {
  std::string output;
  const int status = run_command(command, &output);
  ASSERT_EQ(status, 0) << command << "\n" << output;
}

void write_file(const std::string& path, std::span<const u8> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

std::vector<u8> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<u8> random_bytes(std::mt19937_64& random, u64 count) {
  std::vector<u8> bytes(count);
  for (u64 at = 0; at < count; at += 8) {
    const u64 value = random();
    std::memcpy(&bytes[at], &value, std::min<u64>(8, count - at));
  }
  return bytes;
}

std::unique_ptr<DiskImage> must_open(const std::string& path, bool read_only) {
  auto image = open_image({.path = path, .read_only = read_only});
  if (!image) {
    ADD_FAILURE() << image.error().message;
    std::abort();
  }
  return std::move(*image);
}

Result<void> read_flat(DiskImage& image, u64 offset, std::span<u8> out) {
  const std::span<u8> one[] = {out};
  return image.read(offset, one);
}

Result<void> write_flat(DiskImage& image, u64 offset, std::span<const u8> in) {
  std::vector<u8> copy(in.begin(), in.end());
  const std::span<u8> one[] = {copy};
  return image.write(offset, one);
}

std::vector<u8> read_all(DiskImage& image) {
  std::vector<u8> bytes(image.size_bytes());
  const auto done = read_flat(image, 0, bytes);
  EXPECT_TRUE(done) << (done ? "" : done.error().message);
  return bytes;
}

void ModelDisk::random_step(DiskImage& image, std::mt19937_64& random, u64 max_bytes) {
  const u64 sectors = bytes.size() / 512;
  const u64 first = random() % sectors;
  const u64 count = std::min(1 + random() % (max_bytes / 512), sectors - first);
  const u64 offset = first * 512;
  const auto model = std::span(bytes).subspan(offset, count * 512);
  const u64 kind = random() % 10;
  Result<void> done;
  if (kind < 6) {
    const auto data = random_bytes(random, model.size());
    std::copy(data.begin(), data.end(), model.begin());
    done = write_flat(image, offset, data);
  } else if (kind < 7) {
    std::fill(model.begin(), model.end(), u8{0});
    done = image.write_zeroes(offset, model.size());
  } else if (kind < 8) {
    done = image.discard(offset, model.size());
    if (done) done = read_flat(image, offset, model);
  } else {
    std::vector<u8> now(model.size());
    done = read_flat(image, offset, now);
    EXPECT_TRUE(std::equal(now.begin(), now.end(), model.begin())) << "at " << offset;
  }
  EXPECT_TRUE(done) << (done ? "" : done.error().message);
}

int QueueExecutor::run() {
  int count = 0;
  for (;;) {
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return count;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
    ++count;
  }
}

}  // namespace emu::test
