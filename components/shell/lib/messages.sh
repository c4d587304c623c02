# shellcheck shell=sh
# What each script of the project says, and how it ends. HostFacts, which looks at a host before there are any tools, needs
# little else of the library: so an edit of the rest changes no look at a host.
#   HOST      the host as its user knows it, "gate (198.18.0.2)": every message begins with it
TAB=$(printf '\t')
NL='
'

# say MESSAGE — one line of plain text: nothing in it that a terminal, or a reader of logs, takes for something else.
say() {
  case $* in
    *[!\ -~]*) printf '%s' "$*" | tr '\n' ' ' | tr -c ' -~' '?' >&2 && echo >&2 ;;
    *) printf '%s\n' "$*" >&2 ;;
  esac || :
}

# Ends the script, from a subshell too: 3 is the status of an error that has had its sentence.
fail() { fail_with 3 "$@"; }

# fail_with STATUS MESSAGE — the same, for errors after which connectionAdvice.ts tries again, which it knows by their
# status.
fail_with() {
  local status
  status=$1
  shift
  say "error: $HOST: $*"
  exit "$status"
}
# A change is active on trial, and one more login confirms it.
CONFIRM_AGAIN=75
# The tunnel that the login came through is just being restarted; the login after that confirms it.
TUNNEL_RESTARTS=76

warn() { say "warning: $HOST: $*"; }

need_cmd() {
  command -v "$1" >/dev/null 2>&1 ||
    fail "the command '$1' is missing; install ${2:-it} and run 'pulumi up' again"
}

# sshd -T of OpenSSH 10.0 says "allowusers", that of 10.6 "AllowUsers". What is behind the keyword stays as it is.
with_lower_keywords() { awk '{ print tolower($1) substr($0, length($1) + 1) }'; }
