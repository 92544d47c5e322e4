// SPDX-License-Identifier: Apache-2.0
#include "ui/audio/wav_file.h"

#include <algorithm>
#include <cerrno>

namespace emu {
namespace {

constexpr u64 kMostBytes = 0xffffffff - 64;  // what the header can say
constexpr u64 kMostSilence = u64{3600} * AudioMixer::kRateHz;
constexpr u32 kFrameBytes = 4;

void put(std::vector<u8>& out, u32 value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<u8>(value >> (8 * i)));
}

void put(std::vector<u8>& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

Result<std::unique_ptr<WavFile>> WavFile::create(const std::string& path) {
  File file(std::fopen(path.c_str(), "wbe"));
  if (file == nullptr) return fail_errno(errno, "--audio: cannot write {}", path);
  return std::unique_ptr<WavFile>(new WavFile(std::move(file)));
}

WavFile::~WavFile() {
  std::rewind(file_.get());
  write_header();
}

void WavFile::write_header() {
  std::vector<u8> header;
  const u32 bytes = static_cast<u32>(bytes_);
  put(header, "RIFF");
  put(header, 36 + bytes, 4);
  put(header, "WAVEfmt ");
  put(header, 16, 4);
  put(header, 1, 2);  // PCM
  put(header, 2, 2);  // channels
  put(header, AudioMixer::kRateHz, 4);
  put(header, AudioMixer::kRateHz * kFrameBytes, 4);
  put(header, kFrameBytes, 2);
  put(header, 16, 2);  // bits
  put(header, "data");
  put(header, bytes, 4);
  std::fwrite(header.data(), 1, header.size(), file_.get());
}

void WavFile::write(std::span<const i16> stereo) {
  if (bytes_ + stereo.size_bytes() > kMostBytes) return;
  bytes_ += std::fwrite(stereo.data(), sizeof(i16), stereo.size(), file_.get()) * sizeof(i16);
}

void WavFile::silence(u64 frames) {
  const std::vector<i16> second(std::size_t{2} * AudioMixer::kRateHz);
  for (u64 left = std::min(frames, kMostSilence); left != 0;) {
    const u64 some = std::min<u64>(left, AudioMixer::kRateHz);
    write(std::span(second).first(2 * some));
    left -= some;
  }
}

}  // namespace emu
