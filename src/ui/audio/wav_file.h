// SPDX-License-Identifier: Apache-2.0
// Sound as a WAV file: 16-bit stereo at the mixer's rate.
// Source: Microsoft "Multimedia Programming Interface and Data Specifications 1.0", RIFF WAVE.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "ui/audio/mixer.h"

namespace emu {

class WavFile final : public AudioOutput {
 public:
  // Replaces a file that is there. Errors: the host's, naming the path.
  [[nodiscard]] static Result<std::unique_ptr<WavFile>> create(const std::string& path);
  ~WavFile() override;  // completes the header

  void write(std::span<const i16> stereo) override;
  // At most an hour of it is written.
  void silence(u64 frames) override;

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closer>;
  explicit WavFile(File file) : file_(std::move(file)) { write_header(); }
  void write_header();

  File file_;
  u64 bytes_ = 0;  // of samples
};

}  // namespace emu
