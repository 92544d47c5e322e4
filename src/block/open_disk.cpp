// SPDX-License-Identifier: Apache-2.0
// Opening images: probing, locking, backing chains.
#include "block/open_disk.h"

#include <sys/stat.h>

#include <set>

#include "base/log.h"
#include "block/host_file.h"
#include "block/image_lock.h"
#include "block/overlay_image.h"
#include "block/qcow2/qcow2_image.h"
#include "block/raw_image.h"
#include "block/thread_backend.h"

namespace emu {
namespace {

constexpr unsigned kThreadsPerDisk = 4;
constexpr std::size_t kMaxChainLength = 64;

using FileId = std::pair<u64, u64>;  // device, inode

// A backing file's name is relative to the folder of the image that names it.
std::string backing_path(const std::string& image, std::string name) {
  if (name.starts_with("file:")) name.erase(0, 5);
  if (name.starts_with('/')) return name;
  const auto slash = image.find_last_of('/');
  return slash == std::string::npos ? name : image.substr(0, slash + 1) + name;
}

// "nbd://host/x", "json:{...}": a scheme before the first slash.
bool is_remote(const std::string& name) {
  const auto colon = name.find(':');
  return colon != std::string::npos && colon < name.find('/') && !name.starts_with("file:");
}

class ChainOpener {
 public:
  explicit ChainOpener(bool lock) : lock_(lock) {}

  Result<std::unique_ptr<DiskImage>> open(const std::string& path, DiskFormat format,
                                          bool writable) {
    auto file = HostFile::open(path, writable);
    if (!file) return file.error();
    EMU_TRY(enter(**file));
    if (lock_) EMU_TRY(lock_image((*file)->fd(), path, writable));
    const bool is_guess = format == DiskFormat::kAuto;
    if (is_guess) {
      auto probed = probe_format(**file);
      if (!probed) return probed.error();
      format = *probed;
    }
    if (format == DiskFormat::kQcow2) return open_qcow2(std::move(*file));
    if ((*file)->size_bytes() == 0)
      return fail("{} is empty; set its size with: truncate -s 20G {}", path, path);
    return std::unique_ptr<DiskImage>(std::make_unique<RawImage>(std::move(*file), is_guess));
  }

 private:
  // Refuses a file that is already part of the chain.
  Result<void> enter(const HostFile& file) {
    struct stat st {};
    if (::fstat(file.fd(), &st) != 0) return fail_errno(errno, "cannot examine {}", file.path());
    if (!seen_.insert(FileId{st.st_dev, st.st_ino}).second)
      return fail(
          "{} is its own backing file, directly or through others; repair the chain with: "
          "qemu-img rebase -u -b BACKING {}",
          file.path(), file.path());
    if (seen_.size() > kMaxChainLength)
      return fail(
          "the backing chain is longer than {} images at {}; shorten it with: qemu-img "
          "convert",
          kMaxChainLength, file.path());
    return {};
  }

  Result<std::unique_ptr<DiskImage>> open_qcow2(std::unique_ptr<HostFile> file) {
    auto header = qcow2::read_header(*file);
    if (!header) return header.error();
    std::unique_ptr<DiskImage> backing;
    if (!header->backing_file.empty()) {
      auto opened = open_backing(file->path(), *header);
      if (!opened) return opened.error();
      backing = std::move(*opened);
    }
    auto image = qcow2::Qcow2Image::open(std::move(file), std::move(*header), std::move(backing));
    if (!image) return image.error();
    return std::unique_ptr<DiskImage>(std::move(*image));
  }

  Result<std::unique_ptr<DiskImage>> open_backing(const std::string& image,
                                                  const qcow2::Header& header) {
    if (is_remote(header.backing_file))
      return fail(
          "{} needs the backing file {}, and only local files are supported; copy it here "
          "and run: qemu-img rebase -u -b COPY {}",
          image, header.backing_file, image);
    DiskFormat format = DiskFormat::kAuto;
    if (!header.backing_format.empty()) {
      auto named = parse_format_name(header.backing_format);
      if (!named)
        return fail(
            "{} needs a backing file of format {}, which is not supported; convert it to "
            "qcow2 with qemu-img convert",
            image, header.backing_format);
      format = *named;
    }
    const std::string path = backing_path(image, header.backing_file);
    auto opened = open(path, format, false);
    if (!opened)
      return Error{opened.error().code,
                   fmt::format("the backing file of {}: {}", image, opened.error().message)};
    return opened;
  }

  bool lock_;
  std::set<FileId> seen_;
};

}  // namespace

Result<std::unique_ptr<DiskImage>> open_image(const DiskOptions& options) {
  if (options.path.empty()) return fail("the disk has no file name");
  const bool writable = !options.read_only && !options.throw_away_writes;
  auto image = ChainOpener(options.lock).open(options.path, options.format, writable);
  if (!image || !options.throw_away_writes || options.read_only) return image;
  auto scratch = HostFile::temporary("throw-away writes to " + options.path);
  if (!scratch) return scratch.error();
  return std::unique_ptr<DiskImage>(
      std::make_unique<OverlayImage>(std::move(*image), std::move(*scratch)));
}

Result<std::unique_ptr<BlockBackend>> open_disk(const DiskOptions& options, Executor& executor) {
  auto image = open_image(options);
  if (!image) return image.error();
  return std::unique_ptr<BlockBackend>(
      std::make_unique<ThreadBackend>(std::move(*image), executor, kThreadsPerDisk));
}

}  // namespace emu
