// SPDX-License-Identifier: Apache-2.0
// The guest's screen as a video file: changed pictures go through a socket to ffmpeg, which encodes
// them by the time at which they come.
// Source: ffmpeg(1), ffmpeg-formats(1) (rawvideo), ffmpeg-codecs(1).
// Threads: an own one while it records; it takes the machine lock for each picture.
// Not modelled: sound; a picture larger than the video is scaled down, a smaller one has a border.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "machine/control.h"

namespace emu {

class Recorder {
 public:
  static constexpr u32 kWidth = 1280, kHeight = 800, kPicturesPerSecond = 25;

  // Starts ffmpeg for `path`, whose ending says which kind of video it is. Errors: there is no
  // ffmpeg; the host's.
  [[nodiscard]] static Result<std::unique_ptr<Recorder>> open(const std::string& path);
  ~Recorder();  // as stop()
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // `control` must outlive the object or stop(). Once.
  void start(MachineControl& control);
  // Ends the video and waits until it is written; call it when the machine has finished. A failure
  // is logged.
  void stop();

  // `frame` on `canvas`, which has kWidth * kHeight pixels: in the middle, scaled down if need be.
  static void place(const Frame& frame, std::span<u32> canvas);

 private:
  Recorder(std::string path, UniqueFd to_encoder, pid_t encoder)
      : path_(std::move(path)), to_encoder_(std::move(to_encoder)), encoder_(encoder) {}
  void run(MachineControl& control);
  [[nodiscard]] bool send(std::span<const u32> canvas) const;

  const std::string path_;
  UniqueFd to_encoder_;
  pid_t encoder_;
  std::thread thread_;
};

}  // namespace emu
