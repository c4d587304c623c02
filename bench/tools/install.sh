#!/bin/sh
# Gets the programs that the benchmarks compare with, as their own registries have them, into a folder of their own:
# autossh from Debian, frp and chisel from the Go module proxy, rathole from crates.io, Ansible from PyPI. Nothing is
# installed on this machine.
#   install.sh FOLDER TOOL…      TOOL: autossh, frp, chisel, rathole, ansible, as name@version
# What is there already stays. A tool that cannot be built is named on standard error, and the others go on.
set -eu

main() {
  folder=$1
  shift
  mkdir -p "$folder/bin" "$folder/work"
  missing=
  for tool in "$@"; do
    name=${tool%@*}
    version=${tool#*@}
    [ -e "$folder/$tool" ] && continue
    echo "$name $version: building, in the background of everything else …" >&2
    scratch
    # A function called in a condition would not end at its first error.
    set +e
    (set -e && cd "$folder/work" && "get_$name" "$version") >"$folder/$name.log" 2>&1
    status=$?
    set -e
    if [ "$status" = 0 ]; then
      : >"$folder/$tool"
    else
      echo "$name $version: cannot be built, see $folder/$name.log: $(tail -n 1 "$folder/$name.log")" >&2
      missing=1
    fi
    scratch
  done
  [ -z "$missing" ]
}

# An empty folder to build in.
scratch() {
  chmod -R u+w "$folder/work"
  rm -rf "$folder/work"
  mkdir "$folder/work"
}

quietly() { nice -n 19 "$@"; }

# Debian's own package, with the script in front of it that chooses a monitoring port.
get_autossh() {
  mkdir autossh && cd autossh
  apt-get -o APT::Sandbox::User=root download "autossh=$1"
  dpkg-deb -x autossh_*.deb .
  cp usr/bin/autossh ../../bin/autossh
  cp usr/lib/autossh/autossh ../../bin/autossh.real
}

# `go install …@version` refuses a module that replaces others, as frp does; so its source is built where it says so.
# The web pages of its dashboards are not part of the module.
get_frp() {
  source_of github.com/fatedier/frp "$1" frp
  cd frp
  for program in frps frpc; do
    CGO_ENABLED=0 quietly go build -p 1 -trimpath -tags "$program,noweb" -ldflags "-s -w" -o "../../bin/$program" "./cmd/$program"
  done
}

get_chisel() {
  source_of github.com/jpillora/chisel "$1" chisel
  cd chisel
  CGO_ENABLED=0 quietly go build -p 1 -trimpath -ldflags "-s -w -X github.com/jpillora/chisel/share.BuildVersion=$1" -o ../../bin/chisel .
}

source_of() {
  so_answer=$(cd / && go mod download -json "$1@$2") || {
    echo "$so_answer" | grep '"Error"'
    return 1
  }
  cp -r "$(echo "$so_answer" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')" "$3"
  chmod -R u+w "$3"
}

# Without TLS and websockets, which need OpenSSL's headers: its noise transport encrypts by itself. Not with the versions
# that it was released with (--locked): that of the crate time does not compile with a Rust of 2024 or later.
get_rathole() {
  quietly cargo install --quiet --jobs 1 --version "$1" --no-default-features --features embedded \
    --root "$PWD/rathole" rathole
  cp rathole/bin/rathole ../bin/rathole
}

# ansible-core, with what is built in alone. Its programs name the folder that they are installed in.
get_ansible() {
  rm -rf ../ansible
  python3 -m venv ../ansible
  ../ansible/bin/pip install --quiet --disable-pip-version-check "ansible-core==$1"
}

main "$@"
