// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/calendar.h"

#include <algorithm>
#include <chrono>

namespace emu {
namespace {

constexpr i64 kSecondsPerDay = 86'400;
constexpr i64 kFirstSecond = -62'167'219'200;  // 0000-01-01
constexpr i64 kLastSecond = 253'402'300'799;   // 9999-12-31 23:59:59

}  // namespace

CalendarTime calendar_from_seconds(i64 seconds) {
  using namespace std::chrono;
  seconds = std::clamp(seconds, kFirstSecond, kLastSecond);
  i64 day_number = seconds / kSecondsPerDay;
  i64 rest = seconds % kSecondsPerDay;
  if (rest < 0) {
    rest += kSecondsPerDay;
    --day_number;
  }
  const sys_days date{days{static_cast<int>(day_number)}};
  const year_month_day ymd{date};
  CalendarTime time;
  time.year = int{ymd.year()};
  time.month = unsigned{ymd.month()};
  time.day = unsigned{ymd.day()};
  time.hour = static_cast<u32>(rest / 3600);
  time.minute = static_cast<u32>(rest / 60 % 60);
  time.second = static_cast<u32>(rest % 60);
  time.weekday = weekday{date}.c_encoding() + 1;
  return time;
}

i64 seconds_from_calendar(const CalendarTime& time) {
  using namespace std::chrono;
  const year y{std::clamp(time.year, 0, 9999)};
  const month m{std::clamp(time.month, 1u, 12u)};
  const unsigned last = unsigned{year_month_day_last{y, month_day_last{m}}.day()};
  const sys_days date = year_month_day{y, m, day{std::clamp(time.day, 1u, last)}};
  return i64{date.time_since_epoch().count()} * kSecondsPerDay +
         i64{std::min(time.hour, 23u)} * 3600 + i64{std::min(time.minute, 59u)} * 60 +
         std::min(time.second, 59u);
}

}  // namespace emu
