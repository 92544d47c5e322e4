// SPDX-License-Identifier: Apache-2.0
// Opening images: probing, locking, backing chains.
#include "block/open_disk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/log.h"
#include "block/crypt/luks_image.h"
#include "block/fat/fat_file.h"
#include "block/host_file.h"
#include "block/image_lock.h"
#include "block/nbd/nbd_file.h"
#include "block/overlay_image.h"
#include "block/qcow2/qcow2_image.h"
#include "block/raw_image.h"
#include "block/thread_backend.h"
#include "block/vdi/vdi_image.h"
#include "block/vhd/vhd_image.h"
#include "block/vhdx/vhdx_image.h"
#include "block/vmdk/vmdk_image.h"

namespace emu {
namespace {

constexpr unsigned kThreadsPerDisk = 4;
constexpr std::size_t kMaxChainLength = 64;

using FileId = std::pair<u64, u64>;  // device, inode

// "nbd://host/x", "json:{...}": a scheme before the first slash. What an image names stays local:
// it must not be able to open connections that nobody asked for.
bool is_remote(const std::string& name) {
  const auto colon = name.find(':');
  return colon != std::string::npos && colon < name.find('/') && !name.starts_with("file:");
}

class ChainOpener {
 public:
  explicit ChainOpener(const DiskOptions& options)
      : lock_(options.lock),
        goes_direct_(is_direct(options.cache)),
        never_flush_(options.never_flush),
        passphrase_(options.passphrase),
        snapshot_(options.snapshot) {}

  Result<std::unique_ptr<DiskImage>> open(const std::string& path, DiskFormat format, bool writable,
                                          bool with_backing = true) {
    auto file = open_file(path, writable);
    if (!file) return file.error();
    const bool is_guess = format == DiskFormat::kAuto;
    if (is_guess) {
      auto probed = probe_format(**file);
      if (!probed) return probed.error();
      format = *probed;
    }
    if (format != DiskFormat::kRaw) return open_format(std::move(*file), format, with_backing);
    if (!snapshot_.empty()) return fail("{} cannot have internal snapshots", path);
    if ((*file)->size_bytes() == 0)
      return fail("{} is empty; set its size with: truncate -s 20G {}", path, path);
    return std::unique_ptr<DiskImage>(std::make_unique<RawImage>(std::move(*file), is_guess));
  }

 private:
  Result<std::unique_ptr<ByteFile>> open_file(const std::string& path, bool writable) {
    if (is_nbd_uri(path)) {
      auto served = NbdFile::open(path, writable);
      if (!served) return served.error();
      return std::unique_ptr<ByteFile>(std::move(*served));
    }
    if (fat::is_fat_name(path)) {
      auto folder = fat::FatFile::open(path);
      if (!folder) return folder.error();
      return std::unique_ptr<ByteFile>(std::move(*folder));
    }
    auto file = HostFile::open(path, writable);
    if (!file) return file.error();
    EMU_TRY(enter(**file));
    if (lock_) EMU_TRY(lock_image((*file)->fd(), path, writable));
    if (never_flush_) (*file)->ignore_flushes();
    if (goes_direct_ && !(*file)->go_direct())
      log(LogLevel::kInfo, "block",
          "{} goes through the host's page cache: its file system has "
          "no O_DIRECT",
          path);
    return std::unique_ptr<ByteFile>(std::move(*file));
  }

  // Refuses a file that is already part of the chain.
  Result<void> enter(const HostFile& file) {
    if (auto entered = enter_part(file); !entered) return entered;
    if (++images_ <= kMaxChainLength) return {};
    return fail(
        "the backing chain is longer than {} images at {}; shorten it with: emu img convert",
        kMaxChainLength, file.path());
  }

  Result<void> enter_part(const HostFile& file) {
    struct stat st {};
    if (::fstat(file.fd(), &st) != 0) return fail_errno(errno, "cannot examine {}", file.path());
    if (!seen_.insert(FileId{st.st_dev, st.st_ino}).second)
      return fail(
          "{} is its own backing file, directly or through others; repair the chain with: "
          "emu img rebase -u -b BACKING {}",
          file.path(), file.path());
    return {};
  }

  Result<std::unique_ptr<DiskImage>> open_format(std::unique_ptr<ByteFile> file, DiskFormat format,
                                                 bool with_backing) {
    if (format == DiskFormat::kQcow2) return open_qcow2(std::move(file), with_backing);
    if (!snapshot_.empty()) return fail("{} cannot have internal snapshots", file->path());
    switch (format) {
      case DiskFormat::kVmdk:
        return open_vmdk(std::move(file));
      case DiskFormat::kVdi:
        return open_vdi(std::move(file));
      case DiskFormat::kVpc:
        return open_vhd(std::move(file));
      case DiskFormat::kLuks:
        return crypt::LuksImage::open(std::move(file), passphrase_);
      case DiskFormat::kVhdx:
        return vhdx::VhdxImage::open(std::move(file));
      default:
        return fail("{} has no format", file->path());
    }
  }

  // A parent or a part that a file names.
  Result<std::unique_ptr<DiskImage>> open_parent(const std::string& image, const std::string& name,
                                                 DiskFormat format) {
    auto opened = open(resolve_name(image, name), format, false);
    if (opened) return opened;
    return Error{opened.error().code,
                 fmt::format("the parent of {}: {}", image, opened.error().message)};
  }

  Result<std::unique_ptr<DiskImage>> open_vmdk(std::unique_ptr<ByteFile> file) {
    const std::string path = file->path();
    const bool writable = !file->read_only();
    const auto open_file = [&](const std::string& name) -> Result<std::unique_ptr<ByteFile>> {
      const std::string part = resolve_name(path, name);
      auto opened = HostFile::open(part, writable);
      if (!opened) return opened.error();
      EMU_TRY(enter_part(**opened));
      if (lock_) EMU_TRY(lock_image((*opened)->fd(), part, writable));
      return std::unique_ptr<ByteFile>(std::move(*opened));
    };
    return vmdk::VmdkImage::open(std::move(file), open_file, [&](const std::string& name) {
      return open_parent(path, name, DiskFormat::kVmdk);
    });
  }

  Result<std::unique_ptr<DiskImage>> open_vdi(std::unique_ptr<ByteFile> file) {
    auto header = vdi::read_header(*file);
    if (!header) return header.error();
    std::unique_ptr<DiskImage> parent;
    if (header->image_type == vdi::kDifferencing) {
      const std::string name = vdi::find_parent(file->path(), header->parent_uuid);
      if (name.empty())
        return fail("{} needs a parent disk, and no .vdi beside it is that; put it there",
                    file->path());
      auto opened = open_parent(file->path(), name, DiskFormat::kVdi);
      if (!opened) return opened.error();
      parent = std::move(*opened);
    }
    return vdi::VdiImage::open(std::move(file), *header, std::move(parent));
  }

  Result<std::unique_ptr<DiskImage>> open_vhd(std::unique_ptr<ByteFile> file) {
    auto header = vhd::read_header(*file);
    if (!header) return header.error();
    if (header->is_fixed())
      return std::unique_ptr<DiskImage>(
          std::make_unique<vhd::FixedVhdImage>(std::move(file), *header));
    std::unique_ptr<DiskImage> parent;
    if (!header->parent_name.empty()) {
      auto opened = open_parent(file->path(), base_name(header->parent_name), DiskFormat::kVpc);
      if (!opened) return opened.error();
      parent = std::move(*opened);
    }
    return vhd::DynamicVhdImage::open(std::move(file), std::move(*header), std::move(parent));
  }

  Result<std::unique_ptr<DiskImage>> open_qcow2(std::unique_ptr<ByteFile> file, bool with_backing) {
    auto header = qcow2::read_header(*file);
    if (!header) return header.error();
    if (const std::string tag = std::exchange(snapshot_, {}); !tag.empty())
      EMU_TRY(qcow2::show_snapshot(*header, tag, file->path()));
    std::unique_ptr<DiskImage> backing;
    if (with_backing && !header->backing_file.empty()) {
      auto opened = open_backing(file->path(), *header);
      if (!opened) return opened.error();
      backing = std::move(*opened);
    }
    std::unique_ptr<ByteFile> data;
    if (header->external_data()) {
      auto opened = open_data_file(*file, *header);
      if (!opened) return opened.error();
      data = std::move(*opened);
    }
    auto cipher = qcow2::unlock(*file, *header, passphrase_);
    if (!cipher) return cipher.error();
    auto image = qcow2::Qcow2Image::open(std::move(file), std::move(*header), std::move(backing),
                                         std::move(data), std::move(*cipher));
    if (!image) return image.error();
    return std::unique_ptr<DiskImage>(std::move(*image));
  }

  Result<std::unique_ptr<ByteFile>> open_data_file(const ByteFile& image,
                                                   const qcow2::Header& header) {
    if (header.data_file.empty())
      return fail("{} keeps its data in another file but does not name it", image.path());
    if (is_remote(header.data_file))
      return fail("{} keeps its data in {}, and only local files are supported", image.path(),
                  header.data_file);
    // qemu means the current folder, where it means the image's for backing files.
    std::string path = resolve_name(image.path(), header.data_file);
    if (::access(path.c_str(), F_OK) != 0 && ::access(header.data_file.c_str(), F_OK) == 0)
      path = header.data_file;
    auto file = HostFile::open(path, !image.read_only());
    if (!file)
      return Error{file.error().code,
                   fmt::format("the data file of {}: {}", image.path(), file.error().message)};
    EMU_TRY(enter(**file));
    if (lock_) EMU_TRY(lock_image((*file)->fd(), path, !image.read_only()));
    return std::unique_ptr<ByteFile>(std::move(*file));
  }

  Result<std::unique_ptr<DiskImage>> open_backing(const std::string& image,
                                                  const qcow2::Header& header) {
    if (is_remote(header.backing_file))
      return fail(
          "{} needs the backing file {}, and only local files are supported; copy it here "
          "and run: emu img rebase -u -b COPY {}",
          image, header.backing_file, image);
    DiskFormat format = DiskFormat::kAuto;
    if (!header.backing_format.empty()) {
      auto named = parse_format_name(header.backing_format);
      if (!named)
        return fail(
            "{} needs a backing file of format {}, which is not supported; convert it to "
            "qcow2 with emu img convert",
            image, header.backing_format);
      format = *named;
    }
    const std::string path = resolve_name(image, header.backing_file);
    auto opened = open(path, format, false);
    if (!opened)
      return Error{opened.error().code,
                   fmt::format("the backing file of {}: {}", image, opened.error().message)};
    return opened;
  }

  const bool lock_;
  const bool goes_direct_;
  const bool never_flush_;
  const std::string passphrase_;
  std::string snapshot_;  // of the first image opened
  std::set<FileId> seen_;
  std::size_t images_ = 0;
};

}  // namespace

std::string resolve_name(const std::string& image, std::string name) {
  if (name.starts_with("file:")) name.erase(0, 5);
  if (name.starts_with('/')) return name;
  const auto slash = image.find_last_of('/');
  return slash == std::string::npos ? name : image.substr(0, slash + 1) + name;
}

Result<std::unique_ptr<DiskImage>> open_image(const DiskOptions& options) {
  if (options.path.empty()) return fail("the disk has no file name");
  const bool writable = !options.read_only && !options.throw_away_writes;
  if (!options.snapshot.empty() && !options.read_only)
    return fail("a snapshot in an image can only be read");
  auto image =
      ChainOpener(options).open(options.path, options.format, writable, options.with_backing);
  if (!image || !options.throw_away_writes || options.read_only) return image;
  auto scratch = HostFile::temporary("throw-away writes to " + options.path);
  if (!scratch) return scratch.error();
  return std::unique_ptr<DiskImage>(
      std::make_unique<OverlayImage>(std::move(*image), std::move(*scratch)));
}

Result<std::unique_ptr<BlockBackend>> open_disk(const DiskOptions& options, Executor& executor) {
  auto image = open_image(options);
  if (!image) return image.error();
  if ((*image)->info().is_encrypted && options.passphrase.empty())
    return fail(
        "{} is encrypted; give the file with its passphrase: --drive file={},key-file=FILE "
        "(or format=raw, if the guest itself is to unlock a raw disk)",
        options.path, options.path);
  std::unique_ptr<BlockBackend> disk =
      std::make_unique<ThreadBackend>(std::move(*image), executor, kThreadsPerDisk, options.cache,
                                      options.use_ring ? IoRing::create() : nullptr);
  if (options.limits == ThrottleLimits{}) return disk;
  return std::unique_ptr<BlockBackend>(
      std::make_unique<ThrottleBackend>(std::move(disk), options.limits));
}

}  // namespace emu
