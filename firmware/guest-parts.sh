# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions for the scripts that make guests out of Debian's packages: fetch, unpack, pack.
# Nothing here needs root, a mount or a network address: packages come through the machine's apt.

die() { echo "${0##*/}: $*" >&2; exit 1; }

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "must be root (or have sudo) for: $*"
  fi
}

# The package that PACKAGE depends on whose name starts with PREFIX. Further words: apt options.
dependency() {
  local package=$1 prefix=$2
  shift 2
  apt-cache "$@" depends "$package" 2>/dev/null |
    awk -v prefix="$prefix" '$1 == "Depends:" && index($2, prefix) == 1 { print $2; exit }'
}

# fetch FOLDER PACKAGE [apt option...]: downloads the package's file into FOLDER unless it is there,
# and prints its path.
fetch() {
  local folder=$1 package=$2
  shift 2
  mkdir -p "$folder"
  if ! compgen -G "$folder/${package}_*.deb" >/dev/null; then
    (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root "$@" download "$package") >&2 ||
      die "cannot download $package: is the network there, and did apt-get update run?"
  fi
  compgen -G "$folder/${package}_*.deb" | head -n 1
}

# Options that make apt see i386 packages, with lists of its own in FOLDER; the machine's
# architectures and lists stay as they are.
i386_apt_options() {
  local folder=$1
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  # shellcheck disable=SC2034  # the caller's
  I386_APT=(-o APT::Architecture=i386 -o APT::Architectures::=i386 -o Dir::State::status=/dev/null
            -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache")
}

# copy_modules UNPACKED_KERNEL VERSION TREE MODULE...: copies the modules and all they need; those
# that the kernel has built in, or that it lacks, are passed over.
copy_modules() {
  local kernel=$1 version=$2 tree=$3 file module
  shift 3
  [ -f "$kernel/lib/modules/$version/modules.dep.bin" ] || depmod -b "$kernel" "$version"
  for module in "$@"; do
    { modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null || true; } |
      awk '$1 == "insmod" { print $2 }' | while read -r file; do
        install -D -m 644 "$file" "$tree/lib/modules/$version/${file#*/lib/modules/"$version"/}"
      done
  done
  cp "$kernel/lib/modules/$version/"modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$version/"
  depmod -b "$tree" "$version"
}

# pack_initramfs TREE FILE: TREE as a compressed newc archive owned by root.
pack_initramfs() {
  (cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc -R 0:0 --quiet) |
    gzip -n -1 > "$2"
}
