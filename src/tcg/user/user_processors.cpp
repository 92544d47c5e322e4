// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_processors.h"

#include <sched.h>

namespace emu {

static_assert(CPU_SETSIZE == 1024);

int UserProcessors::take() {
  const int now = ::sched_getcpu();
  if (now < 0 || now >= CPU_SETSIZE) return -1;
  const auto here = static_cast<std::size_t>(now);
  if (taken_[here].fetch_add(1) == 0) return now;
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return now;
  for (std::size_t i = 0; i < kMost; ++i) {
    if (i == here || !CPU_ISSET(i, &allowed)) continue;
    if (taken_[i].fetch_add(1) == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(i, &one);
      if (::sched_setaffinity(0, sizeof one, &one) == 0) {
        ::sched_setaffinity(0, sizeof allowed, &allowed);  // it stays where it is for now
        taken_[here].fetch_sub(1);
        return static_cast<int>(i);
      }
    }
    taken_[i].fetch_sub(1);
  }
  return now;
}

UserProcessors::Seat::Seat(UserProcessors& all) : all_(all), processor_(all.take()) {}

UserProcessors::Seat::~Seat() {
  if (processor_ >= 0) all_.taken_[static_cast<std::size_t>(processor_)].fetch_sub(1);
}

}  // namespace emu
