// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or the host's refusal with errno and context.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace emu {

// Why the host (file, ioctl, socket, configuration) said no. `message` is a whole sentence fit for
// the user: what happened, to what, and what to do. `code` is an errno value, or 0.
struct Error {
  int code = 0;
  std::string message;
};

// `fail("cannot open {}", path)`: an Error without errno.
template <class... A>
[[nodiscard]] Error fail(fmt::format_string<A...> format, A&&... a) {
  return Error{0, fmt::format(format, std::forward<A>(a)...)};
}

// `fail_errno(errno, "cannot open {}", path)`: appends the system's text for the number.
[[nodiscard]] Error fail_errno_text(int code, std::string message);
template <class... A>
[[nodiscard]] Error fail_errno(int code, fmt::format_string<A...> format, A&&... a) {
  return fail_errno_text(code, fmt::format(format, std::forward<A>(a)...));
}

// Either a T or an Error. Test it before using `*r`, `r->`, `r.error()`; using the wrong side is a
// failed EMU_CHECK.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->value(); }
  const Error& error() const {
    EMU_CHECK(state_.index() == 1);
    return *std::get_if<1>(&state_);
  }

 private:
  T& value() {
    EMU_CHECK(state_.index() == 0);
    return *std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}

  explicit operator bool() const { return !failed_; }
  const Error& error() const {
    EMU_CHECK(failed_);
    return error_;
  }

 private:
  bool failed_ = false;
  Error error_;
};

// Returns the error of `expression` (a Result) from the enclosing function, if it is one.
#define EMU_TRY(expression)                                               \
  do {                                                                    \
    if (auto emu_try_result = (expression); !emu_try_result) [[unlikely]] \
      return emu_try_result.error();                                      \
  } while (false)

}  // namespace emu
