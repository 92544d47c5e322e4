// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/boot_marks.h"

namespace emu::cli::bench {
namespace {

constexpr std::size_t kTailBytes = 256;  // longer than any text looked for

}  // namespace

BootMarks::BootMarks(std::string until)
    : signs_{{"firmware", "Booting from "},     // SeaBIOS
             {"firmware", "BdsDxe: starting"},  // OVMF
             {"kernel", "Linux version "},     {"kernel", "Decompressing Linux"},
             {"kernel", "EFI stub: "},         {"kernel", "Copyright (c) 1992-"}} {  // FreeBSD
  if (!until.empty()) {
    signs_.push_back({"user-space", std::move(until)});
    return;
  }
  for (const char* text : {" login:", " as init process", "systemd[1]:", "INIT: version",
                           "built-in shell", "(initramfs)", ":~# ", ":~$ ", "/ # ", "~ # "}) {
    signs_.push_back({"user-space", text});
  }
}

void BootMarks::more(const std::string& source, std::string_view bytes, i64 now_ns) {
  if (bytes.empty()) return;
  note("first-output", now_ns);
  std::string& tail = tails_[source];
  tail.append(bytes);
  look(tail, now_ns);
  if (tail.size() > kTailBytes) tail.erase(0, tail.size() - kTailBytes);
}

void BootMarks::screen(std::string_view text, i64 now_ns) {
  if (text.find_first_not_of(" \n") == std::string_view::npos) return;
  note("first-output", now_ns);
  look(text, now_ns);
}

void BootMarks::look(std::string_view text, i64 now_ns) {
  for (const Sign& sign : signs_) {
    if (seen_.contains(sign.mark)) continue;
    if (text.find(sign.text) != std::string_view::npos) note(sign.mark, now_ns);
  }
}

}  // namespace emu::cli::bench
