# shellcheck shell=sh
# The types that ports have in the SELinux policy, and the domain that systemd starts our programs in.

# read_own_entries — sets OWN_ENTRIES, the administrator's and ours. Once, since a look at the policy takes longer than all
# else here; a run changes a port only once.
OWN_ENTRIES=unread
read_own_entries() {
  [ "$OWN_ENTRIES" != unread ] || OWN_ENTRIES=$(semanage port -l -n -C 9<&-) ||
    fail "semanage cannot list the ports of the SELinux policy; see the lines before this one"
}

# entry_of PORT ENTRIES — "TYPE PORT" or "TYPE FIRST-LAST", the entry that gives this TCP port its type: of several, the
# narrowest. The administrator's own come before the policy's.
entry_of() {
  printf '%s\n' "$2" | awk -v port="$1" '
    $2 == "tcp" {
      for (i = 3; i <= NF; i++) {
        sub(/,$/, "", $i)
        last = split($i, ends, "-") > 1 ? ends[2] : ends[1]
        if (ends[1] + 0 > port + 0 || last + 0 < port + 0 || (entry && last - ends[1] >= width)) continue
        entry = $1 " " $i
        width = last - ends[1]
      }
    }
    END { if (entry) print entry }'
}

kind seport "PORT TYPE_BEFORE"
undo_seport() {
  local port before
  port=${1% *}
  before=${1#* }
  command -v semanage >/dev/null 2>&1 || return 0
  read_own_entries
  [ "$(entry_of "$port" "$OWN_ENTRIES")" = "ssh_port_t $port" ] || return 0
  if [ "$before" = none ]; then
    # For a port that the policy itself types, deleting the local entry gives the policy's type back.
    semanage port -d -p tcp "$port" 9<&-
  else
    semanage port -m -t "$before" -p tcp "$port" 9<&-
  fi || fail "semanage cannot give port $port back"
  changed "gave port $port its SELinux type back"
}

# let_systemd_run PROGRAM — from a program of most types, systemd stays in its own domain, init_t, which may run neither ssh
# nor ip. If that is so, the folder of this one gets the type bin_t by a rule of ours.
let_systemd_run() {
  local pattern rule
  selinux_is_enabled || return 0
  dir_of "$1"
  pattern="$(printf '%s' "$DIR" | sed 's/[.+]/\\&/g')(/.*)?"
  if recorded secontext "$pattern" || recorded_elsewhere secontext "$pattern"; then own secontext "$pattern"; fi
  stays_in_init "$1" || return 0
  command -v semanage >/dev/null 2>&1 ||
    fail "SELinux would keep $1 in systemd's own domain (init_t), where it does not work, and semanage, which gives its folder the type bin_t, is missing; install policycoreutils-python-utils, or choose a toolsDirectory below /opt"
  rule=$(own_rule "$pattern")
  if [ -n "$rule" ] && ! recorded secontext "$pattern" && ! recorded_elsewhere secontext "$pattern"; then
    fail "SELinux would keep $1 in systemd's own domain (init_t), where it does not work, by the rule '$rule' of this host; remove that with 'semanage fcontext -d', or choose another toolsDirectory"
  fi
  own secontext "$pattern"
  [ -n "$rule" ] || semanage fcontext -a -t bin_t "$pattern" 9<&- ||
    fail "semanage cannot give $DIR the type bin_t, from which systemd starts programs; see the lines before this one, or choose a toolsDirectory below /opt"
  dir_of "$1"
  restorecon -R -- "$DIR" 9<&- || :
  changed "gave $DIR the SELinux type bin_t"
  ! stays_in_init "$1" ||
    fail "SELinux keeps $1 in systemd's own domain (init_t), where it does not work, although 'semanage fcontext' gives its folder the type bin_t; choose a toolsDirectory below /opt"
}

# stays_in_init PROGRAM — what the kernel would do.
stays_in_init() {
  [ "$(domain_of 1)" = init_t ] && command -v selinuxexeccon >/dev/null 2>&1 || return 1
  case $(selinuxexeccon "$1" "$(tr -d '\0' </proc/1/attr/current)" 2>/dev/null) in *:init_t | *:init_t:*) return 0 ;; esac
  return 1
}

# domain_of PID
domain_of() { tr -d '\0' <"/proc/$1/attr/current" 2>/dev/null | cut -d: -f3; }

# own_rule PATTERN — "PATTERN CONTEXT", if this host has a rule of its own, or of ours, for exactly this pattern.
own_rule() { semanage fcontext -l -n -C 9<&- | PATTERN=$1 awk '$1 == ENVIRON["PATTERN"] { print $1, $NF }'; }

kind secontext PATTERN
undo_secontext() {
  command -v semanage >/dev/null 2>&1 || return 0
  case $(own_rule "$1") in *:bin_t | *:bin_t:*) ;; *) return 0 ;; esac
  semanage fcontext -d "$1" 9<&- || fail "semanage cannot remove the rule for $1"
  changed "removed the SELinux rule for $1"
}

# refuse_init UNIT — ends the script if it has started in systemd's own domain, where it does not work.
refuse_init() {
  local tries pid
  selinux_is_enabled || return 0
  tries=20
  # One that fails at once is down for a moment.
  until pid=$(systemctl show --property MainPID --value "$1") && [ "${pid:-0}" != 0 ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 0
    sleep 0.1
  done
  [ "$(domain_of "$pid")" != init_t ] ||
    fail "SELinux keeps $1 in systemd's own domain (init_t), where it may not run ssh; see 'systemctl cat $1' and the type of its programs there ('ls -Z'), or choose a toolsDirectory below /opt"
}
