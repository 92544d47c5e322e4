// SPDX-License-Identifier: Apache-2.0
// Passphrases of encrypted images on the command line of `emu img`: qemu-img's --object secret and
// --image-opts, or --key-file.
#pragma once

#include <string>

#include "block/create_image.h"
#include "block/open_disk.h"
#include "cli/img/arguments.h"

namespace emu::cli::img {

inline constexpr Option kKeyFile{0, "key-file", true, "key-file"};
inline constexpr Option kObject{0, "object", true, "object"};
inline constexpr Option kImageOpts{0, "image-opts", false, "image-opts"};

// How to open an image that is read: its name as given, or with --image-opts as
// driver=D,file.filename=F,encrypt.key-secret=ID. `format_key`: the option that names the format.
// Errors: unknown keys and secrets; a key file that cannot be read.
[[nodiscard]] Result<DiskOptions> source_options(const Arguments& a, const std::string& name,
                                                 std::string_view format_key);

// Takes key-secret and encrypt.key-secret out of the creation options, and gives the request their
// passphrase. Errors: as above.
[[nodiscard]] Result<void> take_secret(const Arguments& a, CreateRequest& request);

}  // namespace emu::cli::img
