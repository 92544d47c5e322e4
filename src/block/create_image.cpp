// SPDX-License-Identifier: Apache-2.0
// New images from options as text.
// Source: qemu-img(1): "create", and the options of each format.
#include "block/create_image.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "base/bits.h"
#include "block/create_options.h"
#include "block/crypt/luks.h"
#include "block/host_file.h"
#include "block/image_lock.h"
#include "block/open_disk.h"
#include "block/qcow2/qcow2_create.h"
#include "block/qcow2/qcow2_image.h"
#include "block/vdi/vdi_image.h"
#include "block/vhd/vhd_image.h"
#include "block/vhdx/vhdx_image.h"
#include "block/vmdk/vmdk_image.h"

namespace emu {
namespace {

enum class Preallocation : u8 { kOff, kMetadata, kFalloc, kFull };

Result<Preallocation> preallocation(CreateOptionReader& reader) {
  const std::string text = reader.text("preallocation", "off");
  if (text == "off") return Preallocation::kOff;
  if (text == "metadata") return Preallocation::kMetadata;
  if (text == "falloc") return Preallocation::kFalloc;
  if (text == "full") return Preallocation::kFull;
  return fail("preallocation is off, metadata, falloc or full, not \"{}\"", text);
}

constexpr std::string_view kNoPassphrase =
    "an encrypted image needs a passphrase: --object secret,id=K,file=FILE and "
    "-o encrypt.key-secret=K (luks: -o key-secret=K), or --key-file FILE";

Result<qcow2::CreateOptions> qcow2_options(const CreateRequest& r, u64 size,
                                           CreateOptionReader& reader) {
  qcow2::CreateOptions o;
  o.size_bytes = size;
  o.backing_file = r.backing_file;
  o.backing_format = r.backing_format;
  const std::string compat = reader.text("compat", "1.1");
  if (compat != "1.1" && compat != "v3" && compat != "0.10" && compat != "v2")
    return fail("compat is 0.10 or 1.1, not \"{}\"", compat);
  o.version = compat == "1.1" || compat == "v3" ? 3 : 2;
  const std::string packing = reader.text("compression_type", "zlib");
  if (packing != "zlib" && packing != "zstd")
    return fail("compression_type is zlib or zstd, not \"{}\"", packing);
  o.compression_type = packing == "zstd" ? qcow2::kCompressionZstd : qcow2::kCompressionZlib;
  o.extended_l2 = reader.flag("extended_l2", false);
  o.cluster_bytes = reader.size("cluster_size", 64 * kKiB);
  o.refcount_bits = static_cast<unsigned>(reader.size("refcount_bits", 16) & 0xff);
  o.lazy_refcounts = reader.flag("lazy_refcounts", false);
  const std::string encryption = reader.text("encrypt.format", "");
  if (!encryption.empty() && encryption != "luks")
    return fail("encrypt.format is luks, not \"{}\"", encryption);
  o.luks_iteration_ms = reader.size("encrypt.iter-time", 2000);
  if (!encryption.empty() && r.passphrase.empty()) return fail("{}", kNoPassphrase);
  if (!encryption.empty()) o.luks_passphrase = r.passphrase;
  o.data_file = reader.text("data_file", "");
  o.data_file_raw = reader.flag("data_file_raw", false);
  return o;
}

Result<std::unique_ptr<HostFile>> open_new(const std::string& path) {
  auto file = HostFile::create(path);
  if (!file) return file;
  EMU_TRY(lock_image((*file)->fd(), path, true));
  if (!(*file)->is_block_device()) EMU_TRY((*file)->shrink(0));
  return file;
}

Result<void> fill_with_zeros(HostFile& file, u64 from, u64 to) {
  const std::vector<u8> zeros(kMiB);
  for (u64 at = from; at < to; at += zeros.size())
    EMU_TRY(file.write_flat(at, std::span(zeros).first(std::min<u64>(zeros.size(), to - at))));
  return {};
}

Result<void> create_raw(const CreateRequest& r, u64 size, CreateOptionReader& reader) {
  auto mode = preallocation(reader);
  if (!mode) return mode.error();
  EMU_TRY(reader.finish());
  if (!r.backing_file.empty()) return fail("a raw image cannot have a backing file; use -f qcow2");
  auto file = open_new(r.path);
  if (!file) return file.error();
  if (*mode == Preallocation::kMetadata)
    return fail("a raw image has no metadata; preallocation is off, falloc or full");
  if (*mode == Preallocation::kFalloc) return (*file)->reserve(align_up(size, 512));
  if (*mode == Preallocation::kFull) return fill_with_zeros(**file, 0, align_up(size, 512));
  return (*file)->grow(align_up(size, 512));
}

Result<void> make_data_file(const CreateRequest& r, const qcow2::CreateOptions& o) {
  if (o.data_file.empty()) return {};
  auto data = open_new(resolve_name(r.path, o.data_file));
  if (!data) return data.error();
  return o.data_file_raw ? (*data)->grow(align_up(o.size_bytes, 512)) : Result<void>{};
}

Result<void> create_qcow2(const CreateRequest& r, u64 size, CreateOptionReader& reader) {
  auto options = qcow2_options(r, size, reader);
  if (!options) return options.error();
  auto mode = preallocation(reader);
  if (!mode) return mode.error();
  EMU_TRY(reader.finish());
  if (*mode != Preallocation::kOff && !options->luks_passphrase.empty())
    return fail("an encrypted image cannot be preallocated: what was never written would be noise");
  if (*mode != Preallocation::kOff && !r.backing_file.empty() && !options->extended_l2)
    return fail("preallocation hides the backing file, unless extended_l2=on");
  {
    auto file = open_new(r.path);
    if (!file) return file.error();
    EMU_TRY(make_data_file(r, *options));
    EMU_TRY(qcow2::create(**file, *options));
  }
  if (*mode == Preallocation::kOff && !options->data_file_raw) return {};
  auto image = open_image({.path = r.path, .format = DiskFormat::kQcow2, .with_backing = false});
  if (!image) return image.error();
  auto& made = dynamic_cast<qcow2::Qcow2Image&>(**image);
  EMU_TRY(made.preallocate());
  if (*mode == Preallocation::kOff || *mode == Preallocation::kMetadata) return {};
  image->reset();
  auto file = HostFile::open(
      options->data_file.empty() ? r.path : resolve_name(r.path, options->data_file), true);
  if (!file) return file.error();
  return (*file)->reserve((*file)->size_bytes());
}

// What is not written reads as noise, so a new disk is filled with encrypted zeros only by those
// who want that (qemu-img neither).
Result<void> create_luks(const CreateRequest& r, u64 size, CreateOptionReader& reader) {
  const u64 iteration_ms = reader.size("iter-time", 2000);
  EMU_TRY(reader.finish());
  if (!r.backing_file.empty()) return fail("a luks image cannot have a backing file; use -f qcow2");
  if (r.passphrase.empty()) return fail("{}", kNoPassphrase);
  auto file = open_new(r.path);
  if (!file) return file.error();
  EMU_TRY(crypt::format_luks(**file, 0, {r.passphrase, iteration_ms}));
  return (*file)->grow(crypt::luks_header_bytes() + align_up(size, 512));
}

Result<bool> is_fixed(const CreateRequest& r, CreateOptionReader& reader) {
  if (r.format == DiskFormat::kVdi) {
    const bool by_flag = reader.flag("static", false);
    const std::string mode = reader.text("preallocation", "off");
    if (mode != "off" && mode != "metadata")
      return fail("preallocation of a vdi is off or metadata, not \"{}\"", mode);
    return by_flag || mode == "metadata";
  }
  const std::string name = reader.text("subformat", "dynamic");
  if (name == "dynamic" || name == "fixed") return name == "fixed";
  return fail("subformat is dynamic or fixed, not \"{}\"", name);
}

Result<void> create_vmdk(const CreateRequest& r, u64 size, CreateOptionReader& reader) {
  auto subformat = vmdk::parse_subformat(reader.text("subformat", "monolithicSparse"));
  if (!subformat) return subformat.error();
  EMU_TRY(reader.finish());
  auto file = open_new(r.path);
  if (!file) return file.error();
  return vmdk::create(**file, size, *subformat,
                      [&](const std::string& name) -> Result<std::unique_ptr<ByteFile>> {
                        auto part = open_new(resolve_name(r.path, name));
                        if (!part) return part.error();
                        return std::unique_ptr<ByteFile>(std::move(*part));
                      });
}

Result<void> create_foreign(const CreateRequest& r, u64 size, CreateOptionReader& reader) {
  if (!r.backing_file.empty())
    return fail("{} images are made without a backing file; use -f qcow2", format_name(r.format));
  if (r.format == DiskFormat::kVmdk) return create_vmdk(r, size, reader);
  auto fixed = is_fixed(r, reader);
  if (!fixed) return fixed.error();
  u64 block_bytes = 0;
  if (r.format == DiskFormat::kVhdx) block_bytes = reader.size("block_size", 0);
  if (r.format == DiskFormat::kVpc) (void)reader.flag("force_size", true);  // sizes are exact here
  EMU_TRY(reader.finish());
  auto file = open_new(r.path);
  if (!file) return file.error();
  if (r.format == DiskFormat::kVdi) return vdi::create(**file, {size, *fixed});
  if (r.format == DiskFormat::kVpc) return vhd::create(**file, {size, *fixed});
  return vhdx::create(**file, {size, *fixed, block_bytes});
}

// The size asked for, or that of the backing image.
Result<u64> disk_size(const CreateRequest& r) {
  if (r.backing_file.empty() || !r.check_backing) {
    if (!r.size_bytes) return fail("{} needs a size, for example 20G", r.path);
    return *r.size_bytes;
  }
  DiskFormat format = DiskFormat::kAuto;
  if (!r.backing_format.empty()) {
    auto named = parse_format_name(r.backing_format);
    if (!named) return named.error();
    format = *named;
  }
  auto backing = open_image(
      {.path = resolve_name(r.path, r.backing_file), .format = format, .read_only = true});
  if (!backing) return fail("the backing file: {}", backing.error().message);
  return r.size_bytes ? *r.size_bytes : (*backing)->size_bytes();
}

}  // namespace

Result<void> create_image(const CreateRequest& request) {
  auto size = disk_size(request);
  if (!size) return size.error();
  if (*size > kMaxDiskBytes) return fail("{} would be too large", request.path);
  CreateOptionReader reader(format_name(request.format), request.options);
  switch (request.format) {
    case DiskFormat::kRaw:
      return create_raw(request, *size, reader);
    case DiskFormat::kQcow2:
      return create_qcow2(request, *size, reader);
    case DiskFormat::kLuks:
      return create_luks(request, *size, reader);
    case DiskFormat::kVmdk:
    case DiskFormat::kVdi:
    case DiskFormat::kVpc:
    case DiskFormat::kVhdx:
      return create_foreign(request, align_up(*size, 512), reader);
    case DiskFormat::kAuto:
      break;
  }
  return fail("images of format {} can be read but not made", format_name(request.format));
}

Result<MeasuredBytes> measure_image(const CreateRequest& request) {
  const u64 size = align_up(request.size_bytes.value_or(0), 512);
  CreateOptionReader reader(format_name(request.format), request.options);
  if (request.format == DiskFormat::kRaw) return MeasuredBytes{size, size, 1};
  if (request.format != DiskFormat::kQcow2)
    return fail("images of format {} cannot be measured; use raw or qcow2",
                format_name(request.format));
  auto options = qcow2_options(request, size, reader);
  if (!options) return options.error();
  EMU_TRY(reader.finish());
  const u64 tables = qcow2::metadata_bytes(*options);
  return MeasuredBytes{tables, tables + align_up(size, options->cluster_bytes),
                       options->cluster_bytes};
}

Result<u64> parse_size(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const bool is_hex = text.starts_with("0x");
  const double value = is_hex ? static_cast<double>(std::strtoull(text.c_str(), &end, 16))
                              : std::strtod(text.c_str(), &end);
  std::string unit = end;
  if (unit.ends_with('B') || unit.ends_with('b')) unit.pop_back();
  if (unit.ends_with('i')) unit.pop_back();
  constexpr std::string_view kUnits = "bkmgtpe";
  unsigned power = 0;
  if (unit.size() == 1) {
    const auto at =
        kUnits.find(static_cast<char>(std::tolower(static_cast<unsigned char>(unit[0]))));
    power = at == std::string_view::npos ? 99 : static_cast<unsigned>(at);
  }
  const bool starts_well =
      !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) != 0);
  if (!starts_well || end == text.c_str() || unit.size() > 1 || power == 99 || errno != 0 ||
      !(value >= 0))
    return fail("\"{}\" is not a size; write for example 20G, 512M or 4096", text);
  const double bytes = std::ldexp(value, static_cast<int>(power) * 10);
  if (bytes > 9e18) return fail("{} is too large", text);
  return static_cast<u64>(bytes);
}

}  // namespace emu
