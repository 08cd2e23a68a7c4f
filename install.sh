#!/bin/sh
# Installs uvm-shim on Linux, and removes it again: see the text of usage below.
set -eu
# All of it is read before any of it runs, as it may come through a pipe that breaks.
{

repository=https://github.com/uvm-shim/uvm-shim
marker_begin='# >>> uvm-shim: written by its install.sh, which removes it again'
marker_end='# <<< uvm-shim'
unit_marker='# uvm-shim: install.sh, which places this, removes it again.'

usage() {
  cat <<'END'
usage: install.sh [options]
       install.sh --uninstall [--prefix FOLDER]

Installs uvm-shim's containerd shims: from the release archive that it is in, else from the newest release.

  --from FILE       install this archive; its digest must be in SHA256SUMS beside it, or in the file of --sums
  --sums FILE       the file with the digests
  --url ADDRESS     download archive and SHA256SUMS from this folder instead of the newest release
  --version VERSION download this release
  --prefix FOLDER   where to put it (/opt/uvm-shim)
  --bin FOLDER      where containerd finds programs: gets a link to each (/usr/local/bin)
  --config FILE     containerd's configuration (/etc/containerd/config.toml)
  --with-wcow       configure the runtime for Windows containers too, which run under Wine
  --with-sandboxer  have one process serve all pods of Linux containers, a service of systemd; see docs/sandboxer.md
  --units FOLDER    where systemd finds that service (/etc/systemd/system)
  --yes             configure containerd without asking
  --no-configure    leave containerd's configuration alone, without asking
  --uninstall       remove what was installed, and restore containerd's configuration
  --force           uninstall although pods run
  --help            print this

Pods that run keep the version that they were started with: an update is put beside it.
END
}

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
fail() { warn "$@"; exit 1; }

from='' sums='' url='' version='' prefix=/opt/uvm-shim bin=/usr/local/bin config=/etc/containerd/config.toml
configure=ask uninstall=no force=no handlers=lcow sandboxer=no units=/etc/systemd/system
while [ $# -gt 0 ]; do
  case $1 in
    --from | --sums | --url | --version | --prefix | --bin | --config | --units)
      [ $# -ge 2 ] || { warn "$1 needs a value"; usage >&2; exit 2; } ;;
  esac
  case $1 in
    --from) from=$2; shift ;;
    --sums) sums=$2; shift ;;
    --url) url=${2%/}; shift ;;
    --version) version=${2#v}; shift ;;
    --prefix) prefix=${2%/}; shift ;;
    --bin) bin=${2%/}; shift ;;
    --config) config=$2; shift ;;
    --with-wcow) handlers='lcow wcow' ;;
    --with-sandboxer) sandboxer=yes ;;
    --units) units=${2%/}; shift ;;
    --yes) configure=yes ;;
    --no-configure) configure=no ;;
    --uninstall) uninstall=yes ;;
    --force) force=yes ;;
    -h | --help) usage; exit 0 ;;
    *) warn "unknown option $1"; usage >&2; exit 2 ;;
  esac
  shift
done
case $prefix$bin$units in
  *[!A-Za-z0-9/._+-]*) fail "--prefix, --bin and --units may have letters, digits and /._+- only" ;;
esac
case $prefix in /*) ;; *) fail "--prefix $prefix is not an absolute path" ;; esac
case $bin in /*) ;; *) fail "--bin $bin is not an absolute path" ;; esac
case $units in /*) ;; *) fail "--units $units is not an absolute path" ;; esac
case $config in
  *"
"*) fail "--config may not have line ends" ;;
  /*) ;;
  *) config=$PWD/$config ;;
esac

# What was placed, a line each, the newest last: folder (a version), link, made (a folder that was not there), config (a file
# with a block of ours), unit (of systemd).
record=$prefix/installed
# As long as an installation goes on, what it has placed so far; also process (who installs), relink (what pointed to another
# version), temporary (a file), and at last committed.
journal=$prefix/installing

work=$(mktemp -d)
placed=$work/placed
: >"$placed"
finish() {
  status=$?
  set +e
  if [ -s "$placed" ]; then
    warn "installation failed: removing what was placed"
    cp "$placed" "$work/undone"
    rm -f "$placed"
    undo "$work/undone"
    rmdir "$prefix" 2>/dev/null
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------------------------------------------- removing

without_block() {
  awk -v begin="$marker_begin" -v end="$marker_end" '$0 == begin { skip = 1 } !skip { print } $0 == end { skip = 0 }' "$1"
}

with_line_end() {
  cat "$1"
  [ -z "$(tail -c 1 "$1")" ] || echo
}

# Puts a file in the place of another, whole; where that is a mount of one file, its content.
replace() {
  mv -f "$1" "$2" 2>/dev/null || { cat "$1" >"$2" && rm -f "$1"; }
}

has_block() {
  awk -v begin="$marker_begin" -v end="$marker_end" \
    '$0 == begin { open = 1 } open && $0 == end { found = 1 } END { exit !found }' "$1"
}

restore_config() {
  [ -f "$1" ] || return 0
  real=$(readlink -f "$1")
  if ! grep -qxF "$marker_begin" "$real"; then
    if cmp -s "$real" "$1.before-uvm-shim"; then
      rm -f "$1.before-uvm-shim"
    else
      warn "$1 has no part of uvm-shim any more: it stays as it is"
    fi
    return 0
  fi
  if ! has_block "$real"; then
    warn "$1 lacks the line \"$marker_end\", which ends the part of uvm-shim: put it back, or remove that part"
    return 1
  fi
  if ! { cp -p "$real" "$real.uvm-shim-new" && without_block "$real" >"$real.uvm-shim-new"; }; then
    rm -f "$real.uvm-shim-new"
    return 1
  fi
  if [ -f "$1.before-uvm-shim" ]; then
    # Without its last line's end, which had to be added.
    if with_line_end "$1.before-uvm-shim" | cmp -s - "$real.uvm-shim-new"; then
      replace "$1.before-uvm-shim" "$real"
    else
      warn "$1 was changed by others since: only the part of uvm-shim is removed"
      replace "$real.uvm-shim-new" "$real"
    fi
    rm -f "$1.before-uvm-shim"
  elif grep -qv '^version = [23]$' "$real.uvm-shim-new"; then
    replace "$real.uvm-shim-new" "$real"
  else
    rm -f "$real"
  fi
  rm -f "$real.uvm-shim-new"
  say "restored $1: restart containerd"
}

systemd_runs() { command -v systemctl >/dev/null 2>&1 && systemctl list-units >/dev/null 2>&1; }

is_own_unit() { grep -qxF "$unit_marker" "$1"; }

remove_unit() {
  [ -f "$1" ] || return 0
  if ! is_own_unit "$1"; then
    warn "$1 was written anew by others: it stays as it is"
    return 0
  fi
  ! systemd_runs || systemctl disable --now "${1##*/}" >/dev/null 2>&1 || true
  rm -f "$1" || return 1
  ! systemd_runs || systemctl daemon-reload || true
}

# Undoes the lines of a record, the newest first. Those that cannot be undone are then in $work/left.
undo() {
  : >"$work/left"
  sed '1!G;h;$!d' "$1" >"$work/backwards"
  while IFS= read -r line; do
    path=${line#* }
    case ${line%% *} in
      folder) case $path in "$prefix"/uvm-shim-?*) rm -rf "$path" ;; esac ;;
      link) case $(readlink "$path" 2>/dev/null || true) in "$prefix"/uvm-shim-*) rm -f "$path" ;; esac ;;
      relink) [ ! -x "${path#* }" ] || ln -sfn "${path#* }" "${path%% *}" ;;
      made) rmdir "$path" 2>/dev/null || true ;;
      temporary) rm -f "$path" ;;
      config) restore_config "$path" ;;
      unit) remove_unit "$path" ;;
    esac || printf '%s\n' "$line" >>"$work/left"
  done <"$work/backwards"
  [ ! -s "$work/left" ]
}

# The time at which a process began, so that another one of its number is not taken for it.
beginning() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# What is in the journal becomes a part of the record.
commit() {
  { cat "$record" 2>/dev/null || true; grep -E '^(folder|link|made|config|unit) ' "$journal"; } | awk '!seen[$0]++' >"$record.new"
  mv -f "$record.new" "$record"
  rm -f "$journal"
}

# Ends what an installation began that was killed, and refuses to go on beside one.
recover() {
  [ -f "$journal" ] || return 0
  [ -w "$prefix" ] || fail "$prefix cannot be written: run this as root"
  read -r _ process began <"$journal" || true
  if [ -n "${began:-}" ] && [ "$(beginning "$process")" = "$began" ]; then
    fail "another installation goes on in $prefix, process $process"
  fi
  if grep -qx committed "$journal"; then
    commit
    return 0
  fi
  warn "an earlier installation was interrupted: removing what it placed"
  cp "$journal" "$work/interrupted"
  rm -f "$journal"
  undo "$work/interrupted" || fail "could not be undone: $(cat "$work/left")"
  recovered=yes
}

# The processes that run programs of the prefix.
users() {
  real=$(readlink -f "$prefix")
  for process in /proc/[0-9]*; do
    case $(readlink "$process/exe" 2>/dev/null) in "$real"/uvm-shim-*) printf '%s ' "${process#/proc/}" ;; esac
  done
}

recovered=no
recover

if [ "$uninstall" = yes ]; then
  if [ ! -f "$record" ]; then
    [ "$recovered" = yes ] || fail "nothing is installed in $prefix: $record is missing"
    rmdir "$prefix" 2>/dev/null || true
    say "removed uvm-shim from $prefix"
    exit 0
  fi
  [ -w "$prefix" ] || fail "$prefix cannot be written: run this as root"
  running=$(users)
  if [ -n "$running" ] && [ "$force" = no ]; then
    service=''
    ! grep -q '^unit ' "$record" || service=', end the service with systemctl stop uvm-shim-lcow.socket'
    fail "programs of uvm-shim run, the processes $running: remove the pods first$service, or use --force"
  fi
  cp "$record" "$work/record"
  rm -f "$record"
  if ! undo "$work/record"; then
    # All of it again, since folders are left that have something in them; but the configuration is restored once.
    mkdir -p "$prefix"
    grep -q '^config ' "$work/left" || sed -i '/^config /d' "$work/record"
    cp "$work/record" "$record"
    fail "could not be removed, and is still in $record: $(cut -d ' ' -f 2- "$work/left" | tr '\n' ' ')"
  fi
  rmdir "$prefix" 2>/dev/null || true
  say "removed uvm-shim from $prefix"
  exit 0
fi

# ---------------------------------------------------------------------------------------------------- the archive

[ "$(uname -s)" = Linux ] || fail "this is for Linux; on Windows use install.ps1"
case $(uname -m) in
  x86_64) target=linux-x64 ;;
  aarch64 | arm64) target=linux-arm64 ;;
  *) fail "there is no archive for $(uname -m): only for x86_64 and aarch64" ;;
esac

download() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --output "$2" "$1" || fail "$1 could not be downloaded"
  elif command -v wget >/dev/null 2>&1; then
    wget --quiet --tries=3 --output-document="$2" "$1" || fail "$1 could not be downloaded"
  else
    fail "neither curl nor wget is here: download the archive and SHA256SUMS, and use --from"
  fi
}

# Refuses an archive whose digest is not the one that the sums have for its name.
verify() {
  [ -f "$2" ] || fail "$2 is missing: it must have the digest of ${1##*/} (--sums)"
  expected=$(awk -v name="${1##*/}" '$2 == name || $2 == "*" name { print $1 }' "$2")
  [ -n "$expected" ] || fail "$2 has no digest of ${1##*/}"
  actual=$(sha256sum "$1" | cut -d ' ' -f 1)
  [ "$actual" = "$expected" ] || fail "${1##*/} is not what $2 says: it has digest $actual, expected $expected"
}

here=$(dirname "$0")
if [ -z "$from$url$version" ] && [ -f "$here/lib/node" ] && [ -f "$here/containerd-shim-lcow-v2" ]; then
  source=$(cd "$here" && pwd -P)
else
  if [ -n "$from" ]; then
    [ -f "$from" ] || fail "$from is not a file"
    archive=$from
    verify "$archive" "${sums:-$(dirname "$from")/SHA256SUMS}"
  else
    if [ -z "$url" ]; then
      url=$repository/releases/latest/download
      [ -z "$version" ] || url=$repository/releases/download/v$version
    fi
    download "$url/SHA256SUMS" "$work/SHA256SUMS"
    file=$(awk -v end="-$target.tar.gz" 'substr($2, length($2) - length(end) + 1) == end { print $2 }' "$work/SHA256SUMS")
    case $file in
      '' | *[!A-Za-z0-9._+-]*) fail "$url/SHA256SUMS names no archive for $target" ;;
    esac
    archive=$work/$file
    download "$url/$file" "$archive"
    verify "$archive" "${sums:-$work/SHA256SUMS}"
  fi
  mkdir "$work/unpacked"
  tar -xzf "$archive" -C "$work/unpacked" --no-same-owner || fail "$archive could not be unpacked"
  source=$(echo "$work"/unpacked/uvm-shim-*)
fi
for needed in lib/node containerd-shim-lcow-v2; do
  [ -x "$source/$needed" ] || fail "$source has no $needed: it is no archive of uvm-shim"
done
name=${source##*/}
case $name in
  *-"$target") ;;
  uvm-shim-*) fail "$name is not for this machine, which needs $target" ;;
  *) name=uvm-shim-built-$target ;;
esac

# ---------------------------------------------------------------------------------------------------- placing

# Makes a folder and those above it, and remembers those that were not there.
make_folder() {
  [ -d "$1" ] && return 0
  make_folder "$(dirname "$1")"
  mkdir "$1" 2>/dev/null || fail "$1 could not be made: run this as root"
  chmod 755 "$1"
  echo "made $1" >>"$placed"
}

make_link() {
  if [ -e "$2" ] || [ -h "$2" ]; then
    case $(readlink "$2" 2>/dev/null) in
      "$prefix"/uvm-shim-*)
        echo "relink $2 $(readlink "$2")" >>"$placed"
        ln -sfn "$1" "$2"
        return 0
        ;;
      *) fail "$2 is there already, and not from $prefix: remove it, or use another --bin" ;;
    esac
  else
    ln -s "$1" "$2" 2>/dev/null || fail "$2 could not be made: run this as root"
  fi
  echo "link $2" >>"$placed"
}

folder=$prefix/$name
[ ! -e "$folder" ] || fail "$folder is there already: use --uninstall first to install the same version again"
make_folder "$prefix"
[ -w "$prefix" ] || fail "$prefix cannot be written: run this as root"
{ echo "process $$ $(beginning $$)"; cat "$work/placed"; } >"$journal.$$"
ln "$journal.$$" "$journal" 2>/dev/null || { rm -f "$journal.$$"; fail "another installation goes on in $prefix"; }
rm -f "$journal.$$"
placed=$journal
echo "folder $folder" >>"$placed"
mkdir "$folder"
(cd "$source" && tar -cf - .) | (cd "$folder" && tar -xf - --no-same-owner)
said=$("$folder/containerd-shim-lcow-v2" -v 2>&1) || fail "the shim does not run here: $said"

make_folder "$bin"
for program in "$folder"/*; do
  if [ -d "$program" ] || [ ! -x "$program" ] || [ "${program##*/}" = install.sh ]; then continue; fi
  make_link "$program" "$bin/${program##*/}"
done
if [ -d "$folder/share" ]; then
  shared=$(dirname "$bin")/share
  (cd "$folder/share" && find . -type f) >"$work/shared"
  while IFS= read -r file; do
    make_folder "$(dirname "$shared/${file#./}")"
    make_link "$folder/share/${file#./}" "$shared/${file#./}"
  done <"$work/shared"
fi

place_unit() {
  if [ -e "$units/$1" ]; then
    is_own_unit "$units/$1" || fail "$units/$1 is there already, and not from here: remove it, or use another --units"
  else
    echo "unit $units/$1" >>"$placed"
  fi
  sed "s|/usr/local/bin/|$bin/|" "$folder/systemd/$1" >"$units/$1" || fail "$units/$1 could not be written"
  chmod 644 "$units/$1"
}

if [ "$sandboxer" = yes ]; then
  [ -d "$folder/systemd" ] || fail "$name has no service of systemd"
  make_folder "$units"
  # Removed the other way round: who ends the socket ends the service.
  place_unit uvm-shim-lcow.service
  place_unit uvm-shim-lcow.socket
fi

# The programs write compiled code beside them when they end, which makes later starts faster: done here, as they may not later.
for program in "$folder"/containerd-shim-*; do "$program" -info </dev/null >/dev/null 2>&1 || true; done
for program in hcs-emulator uvm-diag; do
  [ ! -x "$folder/$program" ] || "$folder/$program" --help </dev/null >/dev/null 2>&1 || true
done

# ---------------------------------------------------------------------------------------------------- containerd

# Whether the file says nothing.
is_blank() { ! grep -qs '^[[:space:]]*[^#[:space:]]' "$config"; }

# The version of the configuration's form: what the file says, else what containerd takes.
config_version() {
  if is_blank; then
    case $(containerd --version 2>/dev/null) in *' v2.'* | *' 2.'*) echo 3 ;; *) echo 2 ;; esac
  else
    found=$(sed -n '/^[[:space:]]*\[/q; s/^[[:space:]]*version[[:space:]]*=[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$config")
    echo "${found:-1}"
  fi
}

entries() {
  if [ -e "$config" ] && is_blank; then echo "version = $1"; fi
  # containerd 1.x forgets its own default, runc, as soon as a file names a runtime.
  if [ "$1" = 2 ] && ! grep -qs '^[^#]*containerd\.runtimes\.' "$config"; then
    echo "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]"
    echo "  runtime_type = 'io.containerd.runc.v2'"
  fi
  if [ "$1$sandboxer" = 3yes ]; then
    echo "[proxy_plugins.uvm-lcow]"
    echo "  type = 'sandbox'"
    echo "  address = '/run/uvm-shim/lcow.sock'"
  fi
  for handler in $handlers; do
    if [ "$1" = 3 ]; then
      controller=shim
      [ "$sandboxer$handler" != yeslcow ] || controller=uvm-lcow
      echo "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.uvm-$handler]"
      echo "  sandboxer = '$controller'"
    else
      echo "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.uvm-$handler]"
    fi
    echo "  runtime_type = 'io.containerd.$handler.v2'"
    echo "  pod_annotations = ['io.microsoft.*', 'io.uvm-shim.*']"
    echo "  container_annotations = ['io.microsoft.*', 'io.uvm-shim.*']"
  done
}

configure_containerd() {
  real=$config
  [ ! -e "$config" ] || real=$(readlink -f "$config")
  new=$real.uvm-shim-new
  echo "temporary $new" >>"$placed"
  if [ -e "$config" ]; then
    cp -p "$real" "$new"
  else
    make_folder "$(dirname "$config")"
    printf 'version = %s\n' "$1" >"$new"
  fi
  # A last line without its end would swallow the marker.
  [ -z "$(tail -c 1 "$new")" ] || echo >>"$new"
  { echo "$marker_begin"; entries "$1"; echo "$marker_end"; } >>"$new"
  if command -v containerd >/dev/null 2>&1 && ! containerd --config "$new" config dump >/dev/null 2>"$work/said"; then
    fail "containerd does not take the configuration: $(tail -n 1 "$work/said")"
  fi
  echo "config $config" >>"$placed"
  [ ! -e "$config" ] || cp -p "$real" "$config.before-uvm-shim"
  replace "$new" "$real"
  say "configured $config for the runtime handlers of uvm-shim: restart containerd, pods go on running"
  [ ! -e "$config.before-uvm-shim" ] || say "the file as it was is $config.before-uvm-shim"
}

format=$(config_version)
if [ "$configure" != no ] && [ -f "$config" ] && grep -qxF "$marker_begin" "$config"; then
  say "$config has the runtime handlers already"
  if [ "$sandboxer$format" = yes3 ] && ! grep -q "sandboxer = 'uvm-lcow'" "$config"; then
    say "pods of Kubernetes go on having shims of their own: --uninstall and install anew to have the sandboxer make them"
  fi
  configure=no
elif [ "$configure" != no ] && [ -f "$config" ] && grep -q "^[^#]*runtimes\\.[\"']\\{0,1\\}uvm-[lw]cow[\"']\\{0,1\\}\\]" "$config"; then
  say "$config has runtime handlers of these names, made by others: it stays as it is"
  configure=no
elif [ "$configure" != no ] && [ "$format" != 2 ] && [ "$format" != 3 ]; then
  say "$config is of version $format, which has no place for these runtimes: it stays as it is"
  configure=no
fi
if [ "$configure" = ask ]; then
  say "These lines configure the runtime handlers for Kubernetes; ctr and nerdctl need none:"
  entries "$format" | sed 's/^/  /'
  configure=no
  if (: </dev/tty) 2>/dev/null; then
    printf 'Add them to %s? [y/N] ' "$config"
    IFS= read -r answer </dev/tty || answer=''
    case $answer in [Yy]*) configure=yes ;; esac
  fi
fi
[ "$configure" != yes ] || configure_containerd "$format"

echo committed >>"$placed"
placed=$work/placed
: >"$placed"
commit
if [ "$sandboxer" = yes ]; then
  if ! systemd_runs; then
    warn "systemd does not run here: enable $units/uvm-shim-lcow.service where it does"
  elif systemctl is-active --quiet uvm-shim-lcow.service; then
    systemctl daemon-reload
    say "the sandboxer goes on with its version until systemctl restart uvm-shim-lcow.service, which ends its pods"
  elif systemctl daemon-reload && systemctl enable --now uvm-shim-lcow.socket uvm-shim-lcow.service; then
    say "the sandboxer runs: journalctl -u uvm-shim-lcow shows its log"
  else
    warn "the sandboxer could not be started: systemctl status uvm-shim-lcow.service says why"
  fi
fi
say "installed $name in $folder; $folder/install.sh --uninstall --prefix $prefix removes it"
}
