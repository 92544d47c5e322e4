// SPDX-License-Identifier: Apache-2.0
// Internal snapshots as a table and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "block/image_info.h"

namespace emu::cli::img {

void print_snapshots(const std::vector<SnapshotInfo>& snapshots);
// qemu-img's names.
[[nodiscard]] nlohmann::ordered_json snapshots_json(const std::vector<SnapshotInfo>& snapshots);

}  // namespace emu::cli::img
