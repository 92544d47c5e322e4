// SPDX-License-Identifier: Apache-2.0
// Days and the Gregorian calendar, without time zones.
// Source: the proleptic Gregorian rules; std::chrono's civil calendar does the arithmetic.
#pragma once

#include "base/types.h"

namespace emu {

struct CalendarTime {
  i32 year = 1970;  // with century
  u32 month = 1;    // 1..12
  u32 day = 1;      // 1..31
  u32 hour = 0;     // 0..23
  u32 minute = 0;   // 0..59
  u32 second = 0;   // 0..59
  u32 weekday = 5;  // 1: Sunday .. 7: Saturday

  bool operator==(const CalendarTime&) const = default;
};

// `seconds` since 1970-01-01 00:00:00; values outside the years 0..9999 are clamped.
[[nodiscard]] CalendarTime calendar_from_seconds(i64 seconds);
// The reverse. Fields out of range are clamped into it; the weekday is ignored.
[[nodiscard]] i64 seconds_from_calendar(const CalendarTime& time);

}  // namespace emu
